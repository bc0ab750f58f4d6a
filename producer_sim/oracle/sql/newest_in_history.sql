-- The newest reading of each device, if the whole history was read.
INSERT INTO newest
SELECT topic, device_id, recorded_at, newest[1], newest[2], newest[3]
FROM (
    SELECT
        topic, device_id, max(recorded_at) AS recorded_at,
        arg_max([m1, m2, m3], recorded_at) AS newest  -- a list: arg_max skips nulls
    FROM history
    GROUP BY topic, device_id
);
