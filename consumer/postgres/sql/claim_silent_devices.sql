-- Their rows are locked: a flush that has a reading of one waits before it commits. One that a flush has
-- locked is heard of just now, and is passed over.
SELECT known.{id} FROM {current_state} AS known
WHERE {silent}
ORDER BY known.{id}
LIMIT %(limit)s
FOR UPDATE OF known SKIP LOCKED
