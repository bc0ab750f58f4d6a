-- How many assignments of a vehicle start on a UTC day.
SELECT count(*) AS of_vehicle
FROM vehicle_meter_assignment
WHERE exactly(vehicle_id) = exactly(%(vehicle_id)s)
  AND during && tstzrange(%(day)s, %(day_end)s, '[]')
  AND started_at >= %(day)s AND started_at < %(day_end)s
