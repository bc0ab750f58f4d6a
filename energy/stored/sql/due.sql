-- Vehicles that are due from one and the same hour on, the newest, and were noted before a time.
SELECT due.since, array_agg(due.vehicle_id) AS vehicles
FROM vehicle_due AS due
WHERE due.noted_at < %(before)s
  AND due.since = (SELECT max(since) FROM vehicle_due WHERE noted_at < %(before)s)
GROUP BY due.since
