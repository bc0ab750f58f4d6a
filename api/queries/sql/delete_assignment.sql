DELETE FROM vehicle_meter_assignment
WHERE assignment_id = %(assignment_id)s AND vehicle_id = %(vehicle_id)s
RETURNING assignment_id
