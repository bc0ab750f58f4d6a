SELECT {id}, recorded_at AS timestamp, {measures}, ingested_at
FROM {history}
WHERE {id} = %(device_id)s AND recorded_at > %(after)s AND recorded_at <= %(end)s
ORDER BY recorded_at
LIMIT %(limit)s
