-- The next page of a redrive, by the primary key, so that the letters of a device go out in the
-- order in which they came. Letters that another redrive holds are left to it. A letter that is
-- younger than this redrive may be one that it sent and that was refused again: it is for the next
-- redrive. A page ends before its letters are of too many bytes, but has one always.
WITH claimed AS (
    SELECT *, coalesce(length(key), 0) + coalesce(length(value), 0) + pg_column_size(headers) AS size
    FROM dead_letter
    WHERE consumer_group = %(consumer_group)s
      AND {chosen}
      AND (topic, partition, record_offset)
          > (%(after_topic)s, %(after_partition)s, %(after_offset)s)
      AND dead_lettered_at <= %(begun)s
      AND (redriven_at IS NULL OR redriven_at < %(begun)s)
    ORDER BY topic, partition, record_offset
    LIMIT %(page)s
    FOR UPDATE SKIP LOCKED
),
measured AS (
    SELECT *, sum(size) OVER (ORDER BY topic, partition, record_offset) AS size_with_those_before
    FROM claimed
)
SELECT topic, partition, record_offset, key, value, headers, record_timestamp, reason, detail,
       dead_lettered_at, redriven_at, is_whole, key_bytes, value_bytes, value_sha256, header_count
FROM measured
WHERE size_with_those_before <= %(page_bytes)s OR size_with_those_before = size
ORDER BY topic, partition, record_offset
