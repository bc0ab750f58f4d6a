SELECT topic, partition, next_offset
FROM ingest_offset
WHERE consumer_group = %(consumer_group)s
