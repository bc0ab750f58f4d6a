-- All sessions, or those of one vehicle or meter, or those under way.
SELECT session_id, vehicle_id, meter_id, started_at, ended_at
FROM charging_session
WHERE session_id > %(after)s
  AND (%(vehicle_id)s::text IS NULL OR exactly(vehicle_id) = exactly(%(vehicle_id)s))
  AND (%(meter_id)s::text IS NULL OR exactly(meter_id) = exactly(%(meter_id)s))
  AND (ended_at IS NULL OR NOT %(only_active)s)
ORDER BY session_id
LIMIT %(limit)s
