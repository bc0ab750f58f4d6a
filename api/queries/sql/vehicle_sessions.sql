-- The vehicle's first sessions that overlap a window.
SELECT session_id, meter_id, started_at, ended_at
FROM charging_session
WHERE exactly(vehicle_id) = exactly(%(vehicle_id)s) AND during && tstzrange(%(start)s, %(end)s, '(]')
ORDER BY started_at
LIMIT %(limit)s
