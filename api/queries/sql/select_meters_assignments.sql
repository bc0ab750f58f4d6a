-- A meter may serve several vehicles at a time.
SELECT assignment_id, vehicle_id, meter_id, started_at AS start, ended_at AS "end"
FROM vehicle_meter_assignment
WHERE meter_id = %(meter_id)s AND (started_at, assignment_id) > (%(after)s, %(after_id)s)
ORDER BY started_at, assignment_id
LIMIT %(limit)s
