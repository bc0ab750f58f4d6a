-- The vehicle's readings and their mean temperature, in each UTC hour with readings and, without an hour, in the whole
-- window. Beside each: when the question is answered, and how many of the vehicle's sessions overlap the window.
SELECT date_bin('1 hour', recorded_at - interval '1 microsecond', 'epoch') AS hour,
       count(*) AS readings, avg(battery_temp) AS temperature,
       coalesce(nullif(current_setting('wattline.as_of', true), '')::timestamptz, statement_timestamp()) AS as_of,
       (
           SELECT count(*) FROM charging_session
           WHERE exactly(vehicle_id) = exactly(%(vehicle_id)s) AND during && tstzrange(%(start)s, %(end)s, '(]')
       ) AS sessions
FROM vehicle_history
WHERE vehicle_id = %(vehicle_id)s AND recorded_at > %(start)s AND recorded_at <= %(end)s
GROUP BY GROUPING SETS ((1), ())
