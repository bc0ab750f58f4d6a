INSERT INTO charging_session (vehicle_id, meter_id, started_at, ended_at)
VALUES (%(vehicle_id)s, %(meter_id)s, %(started_at)s, %(ended_at)s)
RETURNING session_id, vehicle_id, meter_id, started_at, ended_at
