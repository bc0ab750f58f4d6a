-- Partitions that were never read begin at their earliest record.
INSERT INTO ingest_offset (consumer_group, topic, partition, next_offset)
SELECT %(consumer_group)s, fresh.*
FROM unnest(%(topics)s::text[], %(partitions)s::integer[], %(offsets)s::bigint[]) AS fresh
ON CONFLICT DO NOTHING
