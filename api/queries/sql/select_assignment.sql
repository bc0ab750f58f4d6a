-- An assignment of the vehicle, as it is until the end of the transaction.
SELECT assignment_id, meter_id, started_at AS start, ended_at AS "end"
FROM vehicle_meter_assignment
WHERE assignment_id = %(assignment_id)s AND vehicle_id = %(vehicle_id)s
FOR UPDATE
