-- A session that has ended already stays as it is.
UPDATE charging_session
SET ended_at = %(ended_at)s
WHERE session_id = %(session_id)s AND ended_at IS NULL
RETURNING session_id, vehicle_id, meter_id, started_at, ended_at
