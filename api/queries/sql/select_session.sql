SELECT session_id, vehicle_id, meter_id, started_at, ended_at
FROM charging_session
WHERE session_id = %(session_id)s
