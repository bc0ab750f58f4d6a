-- The first hour that is noted of each device, in hours since 1970.
SELECT due.stream, pair.device_id, min(pair.hour) AS hour
FROM rollup_due AS due, unnest(due.devices, due.hours) AS pair (device_id, hour)
GROUP BY 1, 2
