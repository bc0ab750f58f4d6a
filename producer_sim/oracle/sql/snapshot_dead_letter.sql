-- PostgreSQL: the group's dead letters in the ledgers' ranges of offsets, or all of them. For a value
-- that is not whole: its length, its digest, and the digest of the beginning that was kept.
COPY (
    SELECT
        d.topic, d.partition, d.record_offset,
        encode(sha256(d.key), 'hex'),
        CASE WHEN d.is_whole THEN encode(sha256(d.value), 'hex')
             WHEN d.value IS NOT NULL
                 THEN concat_ws(' ', d.value_bytes, encode(d.value_sha256, 'hex'),
                                encode(sha256(d.value), 'hex'))
        END,
        d.reason, d.redriven_at IS NOT NULL
    FROM dead_letter AS d
    LEFT JOIN unnest(
        %(topics)s::text[], %(partitions)s::integer[], %(firsts)s::bigint[], %(lasts)s::bigint[]
    ) AS range (topic, partition, first_offset, last_offset)
        ON range.topic = d.topic AND range.partition = d.partition
        AND d.record_offset BETWEEN range.first_offset AND range.last_offset
    WHERE d.consumer_group = %(group)s AND (%(exact)s OR range.topic IS NOT NULL)
) TO STDOUT (FORMAT csv)
