-- The fence: moves only from the offset that this replica believes in.
UPDATE ingest_offset
SET next_offset = %(next_offset)s, updated_at = now()
WHERE consumer_group = %(consumer_group)s
  AND topic = %(topic)s
  AND partition = %(partition)s
  AND next_offset = %(believed)s
RETURNING pg_current_xact_id()::text
