-- When the readings of a vehicle and of some of its meters cover the window: the times of which
-- `vehicle_performance` gives the share. Times that are at most `apart` from each other are joined.
SELECT device_id, lower(covered) AS start, upper(covered) - %(apart)s AS "end"
FROM (
    SELECT place, device_id, range_agg(tstzrange(lower(piece), upper(piece) + %(apart)s, '(]')) AS covers
    FROM (
        SELECT 0 AS place, %(vehicle_id)s::text AS device_id,
               range_agg(tstzrange(
                   covered_from(device.reading_kind IS NOT DISTINCT FROM 'register',
                                make_interval(secs => coalesce(device.reading_interval_seconds, 60)),
                                reading.previous_at, reading.recorded_at, %(start)s),
                   reading.recorded_at, '(]')) AS covers
        FROM vehicle_energy(%(vehicle_id)s, %(start)s, %(end)s) AS reading
        LEFT JOIN vehicle AS device ON device.vehicle_id = %(vehicle_id)s
        UNION ALL
        SELECT 1, mine.meter_id,
               range_agg(tstzrange(
                   covered_from(device.reading_kind IS NOT DISTINCT FROM 'register',
                                make_interval(secs => coalesce(device.reading_interval_seconds, 60)),
                                reading.previous_at, reading.recorded_at, %(start)s),
                   reading.recorded_at, '(]')) * mine.charged
        FROM vehicle_meters(%(vehicle_id)s, %(start)s, %(end)s) AS mine
        CROSS JOIN meter_energy(mine.meter_id, %(start)s, %(end)s) AS reading
        LEFT JOIN meter AS device ON device.meter_id = mine.meter_id
        WHERE mine.meter_id = ANY (%(meter_ids)s)
        GROUP BY mine.meter_id, mine.charged
    ) AS who, unnest(who.covers) AS piece
    GROUP BY place, device_id
) AS device, unnest(device.covers) AS covered
ORDER BY place, device_id, covered
LIMIT %(most)s
