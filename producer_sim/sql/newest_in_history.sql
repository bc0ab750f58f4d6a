-- The newest reading of each device, where the whole history is at hand.
INSERT INTO newest
SELECT
    topic, device_id, max(recorded_at),
    arg_max(m1, recorded_at), arg_max(m2, recorded_at), arg_max(m3, recorded_at)
FROM history
GROUP BY topic, device_id;
