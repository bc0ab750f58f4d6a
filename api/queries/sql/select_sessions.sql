-- All sessions, or those of one vehicle or meter, or those under way, or those that overlap a time.
SELECT session_id, vehicle_id, meter_id, started_at, ended_at
FROM charging_session
WHERE session_id > %(after)s
  AND (%(vehicle_id)s::text IS NULL OR exactly(vehicle_id) = exactly(%(vehicle_id)s))
  AND (%(meter_id)s::text IS NULL OR exactly(meter_id) = exactly(%(meter_id)s))
  AND (ended_at IS NULL OR NOT %(only_active)s)
  AND (%(start)s::timestamptz IS NULL OR coalesce(ended_at, 'infinity') > %(start)s)
  AND (%(end)s::timestamptz IS NULL OR started_at < %(end)s)
ORDER BY session_id
LIMIT %(limit)s
