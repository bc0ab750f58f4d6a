-- A session that was changed since it was read stays as it is.
UPDATE charging_session
SET started_at = %(started_at)s, ended_at = %(ended_at)s
WHERE session_id = %(session_id)s AND started_at = %(was_started_at)s AND ended_at IS NOT DISTINCT FROM %(was_ended_at)s
RETURNING session_id, vehicle_id, meter_id, started_at, ended_at
