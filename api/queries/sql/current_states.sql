SELECT {id}, recorded_at AS timestamp, {measures}, updated_at
FROM {current_state}
WHERE {id} > %(after)s
ORDER BY {id}
LIMIT %(limit)s
