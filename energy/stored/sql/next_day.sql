-- The newest day between two that is not done, whether it has readings, and the next vehicles without a row of it, in
-- order of their ids: null once there are no more.
SELECT next.day, has_readings(next.day) AS has_readings,
       (SELECT array_agg(missing.vehicle_id ORDER BY missing.vehicle_id)
        FROM (SELECT known.vehicle_id
              FROM (SELECT vehicle_id FROM vehicle UNION SELECT vehicle_id FROM vehicle_current_state) AS known
              WHERE known.vehicle_id > next.done_to
                AND NOT EXISTS (SELECT FROM vehicle_day AS kept
                                WHERE kept.vehicle_id = known.vehicle_id AND kept.day = next.day)
              ORDER BY known.vehicle_id
              LIMIT %(most)s) AS missing) AS vehicles
FROM (
    SELECT %(first)s::date + place AS day, coalesce(done.done_to, '') AS done_to
    FROM generate_series(0, %(last)s::date - %(first)s::date) AS place
    LEFT JOIN vehicle_day_done AS done ON done.day = %(first)s::date + place
    WHERE done.day IS NULL OR done.done_to IS NOT NULL
    ORDER BY place DESC
    LIMIT 1
) AS next
