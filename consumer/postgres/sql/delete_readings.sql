-- Of one day, whose table alone is looked at. A trigger notes for the rollups what went.
DELETE FROM {history}
WHERE {id} = %(device)s AND recorded_at > %(start)s AND recorded_at <= %(end)s
  AND recorded_at >= %(midnight)s AND recorded_at < %(midnight)s + interval '24 hours'
