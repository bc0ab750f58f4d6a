INSERT INTO vehicle_meter_assignment (vehicle_id, meter_id, started_at, ended_at)
VALUES (%(vehicle_id)s, %(meter_id)s, %(start)s, %(end)s)
RETURNING assignment_id, meter_id, started_at AS start, ended_at AS "end"
