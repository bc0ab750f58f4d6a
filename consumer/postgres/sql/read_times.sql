SELECT topic, partition, extract(epoch FROM updated_at)::float8
FROM ingest_offset
WHERE consumer_group = %(consumer_group)s
