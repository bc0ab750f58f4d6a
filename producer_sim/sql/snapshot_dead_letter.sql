-- PostgreSQL: the group's dead letters in the ledgers' ranges of offsets, or all of them.
COPY (
    SELECT
        d.topic, d.partition, d.record_offset,
        encode(sha256(d.key), 'hex'), encode(sha256(d.value), 'hex'), d.reason
    FROM dead_letter AS d
    LEFT JOIN unnest(
        %(topics)s::text[], %(partitions)s::integer[], %(firsts)s::bigint[], %(lasts)s::bigint[]
    ) AS range (topic, partition, first_offset, last_offset)
        ON range.topic = d.topic AND range.partition = d.partition
        AND d.record_offset BETWEEN range.first_offset AND range.last_offset
    WHERE d.consumer_group = %(group)s AND (%(exact)s OR range.topic IS NOT NULL)
) TO STDOUT (FORMAT csv)
