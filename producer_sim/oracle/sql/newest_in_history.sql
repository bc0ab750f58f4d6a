-- The newest reading of each device, where the whole history is at hand.
INSERT INTO newest
SELECT topic, device_id, recorded_at, newest[1], newest[2], newest[3]
FROM (
    SELECT
        topic, device_id, max(recorded_at) AS recorded_at,
        arg_max([m1, m2, m3], recorded_at) AS newest  -- arg_max skips nulls, and a list is none
    FROM history
    GROUP BY topic, device_id
);
