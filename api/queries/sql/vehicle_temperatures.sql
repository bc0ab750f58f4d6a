-- The vehicle's readings and their mean temperature, in each UTC hour with readings and, without an hour, in the
-- whole window.
SELECT date_trunc('hour', recorded_at - interval '1 microsecond', 'UTC') AS hour,
       count(*) AS readings, avg(battery_temp) AS temperature
FROM vehicle_history
WHERE vehicle_id = %(vehicle_id)s AND recorded_at > %(start)s AND recorded_at <= %(end)s
GROUP BY GROUPING SETS ((1), ())
