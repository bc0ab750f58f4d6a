-- Some vehicles that are due from one and the same hour on: the newest one before an hour.
SELECT due.since, array_agg(due.vehicle_id) AS vehicles
FROM vehicle_due AS due
WHERE due.since = (SELECT max(since) FROM vehicle_due WHERE since < %(before)s)
GROUP BY due.since
