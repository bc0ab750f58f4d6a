-- Takes the newest notes away; the first hour of each device in them, in hours since 1970, and how many they were.
WITH taken AS (
    DELETE FROM rollup_due
    WHERE due_id IN (SELECT due_id FROM rollup_due ORDER BY due_id DESC LIMIT %(most)s)
    RETURNING stream, devices, hours
)
SELECT taken.stream, pair.device_id, min(pair.hour) AS hour, (SELECT count(*) FROM taken) AS notes
FROM taken, unnest(taken.devices, taken.hours) AS pair (device_id, hour)
GROUP BY 1, 2
