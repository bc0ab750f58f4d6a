-- State of charge and temperature: a point for each five minutes with readings.
SELECT max(recorded_at) AS at, avg(soc) AS soc, avg(battery_temp) AS temperature
FROM vehicle_history
WHERE vehicle_id = %(vehicle_id)s AND recorded_at > %(start)s AND recorded_at <= %(end)s
GROUP BY date_bin('5 minutes', recorded_at - interval '1 microsecond', '2000-01-01Z')
ORDER BY at
