-- The first day of each vehicle whose row does not hold any more.
SELECT kept.vehicle_id, min(kept.day)::timestamp AT TIME ZONE 'UTC' AS midnight
FROM vehicle_day AS kept
WHERE kept.holds_until <= %(as_of)s
GROUP BY kept.vehicle_id
