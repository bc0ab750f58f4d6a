-- Acknowledged readings that are not in history.
SELECT
    topic, partition, record_offset, device_id, recorded_at,
    'acknowledged, but not in history' AS problem
FROM reading
ANTI JOIN stored USING (topic, device_id, recorded_at)
WHERE acknowledged > 0;
