-- The rows are locked: a flush with a reading of such a device waits before it commits. A row that a
-- flush has locked is of a device that sends just now, and is passed over.
SELECT known.{id} FROM {current_state} AS known
WHERE {silent}
ORDER BY known.{id}
LIMIT %(limit)s
FOR UPDATE OF known SKIP LOCKED
