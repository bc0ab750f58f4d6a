-- Takes the newest notes away, and adds the vehicles that they concern to those that are due; how many notes they
-- were.
WITH taken AS (
    DELETE FROM rollup_due
    WHERE due_id IN (SELECT due_id FROM rollup_due ORDER BY due_id DESC LIMIT %(most)s)
    RETURNING stream, devices, hours
), told AS (
    SELECT array_agg(taken.stream) AS streams, array_agg(pair.device_id) AS devices, array_agg(pair.hour) AS hours
    FROM taken, unnest(taken.devices, taken.hours) AS pair (device_id, hour)
), added AS (
    INSERT INTO vehicle_due AS due (vehicle_id, since, noted_at)
    SELECT noted.vehicle_id, noted.since, noted.noted_at
    FROM told
    CROSS JOIN LATERAL vehicles_noted(told.streams, told.devices, told.hours) AS noted
    -- The others are due from earlier on.
    WHERE NOT EXISTS (SELECT FROM vehicle_due AS known
                      WHERE known.vehicle_id = noted.vehicle_id
                        AND known.since <= noted.since AND known.noted_at <= noted.noted_at)
    ON CONFLICT (vehicle_id) DO UPDATE
    SET since = least(due.since, excluded.since), noted_at = least(due.noted_at, excluded.noted_at)
)
SELECT count(*) AS notes FROM taken
