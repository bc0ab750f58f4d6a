-- Adds the vehicles with a day that does not hold any more to those that are due.
INSERT INTO vehicle_due AS due (vehicle_id, since, noted_at)
SELECT kept.vehicle_id, min(kept.day)::timestamp AT TIME ZONE 'UTC', '-infinity'
FROM vehicle_day AS kept
WHERE kept.holds_until <= %(as_of)s
GROUP BY kept.vehicle_id
ON CONFLICT (vehicle_id) DO UPDATE SET since = least(due.since, excluded.since), noted_at = excluded.noted_at
