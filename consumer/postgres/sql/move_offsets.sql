-- Each offset moves only from where it was shown to be; null: the partition had none. Returns the
-- partitions whose offsets were moved meanwhile.
WITH wanted AS (
    SELECT *
    FROM unnest(%(partitions)s::integer[], %(shown)s::bigint[], %(next_offsets)s::bigint[])
        AS wanted (partition, shown, next_offset)
),
moved AS (
    UPDATE ingest_offset AS stored
    SET next_offset = wanted.next_offset, updated_at = now()
    FROM wanted
    WHERE stored.consumer_group = %(consumer_group)s
      AND stored.topic = %(topic)s
      AND stored.partition = wanted.partition
      AND stored.next_offset = wanted.shown
    RETURNING stored.partition
),
made AS (
    INSERT INTO ingest_offset (consumer_group, topic, partition, next_offset)
    SELECT %(consumer_group)s, %(topic)s, partition, next_offset
    FROM wanted
    WHERE shown IS NULL
    ON CONFLICT DO NOTHING
    RETURNING partition
)
SELECT partition FROM wanted
EXCEPT (SELECT partition FROM moved UNION ALL SELECT partition FROM made)
ORDER BY partition
