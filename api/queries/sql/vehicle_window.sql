-- When the question is answered, and how many of the vehicle's sessions overlap its window.
SELECT statement_timestamp() AS as_of, count(*) AS sessions
FROM charging_session
WHERE exactly(vehicle_id) = exactly(%(vehicle_id)s) AND during && tstzrange(%(start)s, %(end)s, '(]')
