SELECT known.{id} AS device_id, known.recorded_at, known.updated_at
FROM {current_state} AS known
WHERE {silent}
ORDER BY known.{id}
LIMIT %(limit)s
