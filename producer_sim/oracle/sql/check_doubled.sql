-- Readings in more than one row, and messages that are both the stored reading and a dead letter. If
-- the letter was redriven, its copy is what is stored.
SELECT
    topic, NULL AS partition, NULL AS record_offset, device_id, recorded_at,
    'in ' || copies || ' rows of history' AS problem
FROM stored
WHERE copies > 1
UNION ALL
SELECT
    topic, partition, record_offset, device_id, recorded_at,
    'stored, and dead-lettered as ' || reason
FROM fate
WHERE is_reading AND is_equal AND is_dead AND candidates = 1 AND NOT is_redriven;
