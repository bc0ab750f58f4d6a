-- A device's readings of a window, by UTC day.
SELECT (recorded_at AT TIME ZONE 'UTC')::date AS day, count(*) AS readings, min(recorded_at) AS first,
       max(recorded_at) AS last, min({energy}) AS lowest, max({energy}) AS highest
FROM {history}
WHERE {id} = %(device)s AND recorded_at > %(start)s AND recorded_at <= %(end)s
GROUP BY 1
ORDER BY 1
