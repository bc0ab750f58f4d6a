-- PostgreSQL: how far the group has consumed.
SELECT topic, partition, next_offset FROM ingest_offset WHERE consumer_group = %(group)s
