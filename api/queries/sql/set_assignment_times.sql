UPDATE vehicle_meter_assignment
SET started_at = %(start)s, ended_at = %(end)s
WHERE assignment_id = %(assignment_id)s AND vehicle_id = %(vehicle_id)s
RETURNING assignment_id, meter_id, started_at AS start, ended_at AS "end"
