DELETE FROM charging_session
WHERE session_id = %(session_id)s
RETURNING session_id
