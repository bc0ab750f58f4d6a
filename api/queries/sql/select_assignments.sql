-- Their starts are a key: a vehicle has one assignment at a time.
SELECT assignment_id, meter_id, started_at AS start, ended_at AS "end"
FROM vehicle_meter_assignment
WHERE exactly(vehicle_id) = exactly(%(vehicle_id)s) AND started_at > %(after)s
ORDER BY started_at
LIMIT %(limit)s
