-- Partitions that are not consumed up to the last acknowledged message.
SELECT
    topic, partition, max(record_offset) AS record_offset, NULL AS device_id,
    NULL AS recorded_at,
    'next offset ' || coalesce(any_value(next_offset)::text, 'none') || ', last message '
        || max(record_offset) AS problem
FROM message
LEFT JOIN progress USING (topic, partition)
WHERE delivery = 'acknowledged' AND record_offset IS NOT NULL
GROUP BY topic, partition
HAVING max(record_offset) >= coalesce(any_value(next_offset), 0);
