-- If the check is exact: dead letters without a message at their place, and without a message of
-- unknown place that may be theirs.
SELECT
    d.topic, d.partition, d.record_offset, NULL AS device_id, NULL AS recorded_at,
    'a dead letter (' || d.reason || ') of no message' AS problem
FROM dead_letter AS d
WHERE getvariable('exact') AND NOT EXISTS (
    SELECT 1
    FROM message AS m
    WHERE m.topic = d.topic AND m.partition = d.partition AND m.record_offset = d.record_offset
) AND NOT EXISTS (
    SELECT 1
    FROM message AS m
    WHERE m.topic = d.topic AND m.partition = d.partition
      AND m.record_offset IS NULL AND m.delivery <> 'failed'
      AND (m.canonical OR m.value_sha256 IS NOT DISTINCT FROM d.value_sha256
           OR m.value_cut = d.value_sha256)
);
