-- Where one bucket's messages ended: one row for each figure.
SELECT 'stored' AS figure, count(*) AS total
FROM reading SEMI JOIN stored USING (topic, device_id, recorded_at)
UNION ALL
SELECT 'duplicates', count(*) - count(DISTINCT (topic, device_id, recorded_at))
FROM fate WHERE is_equal AND NOT is_dead AND candidates > 1
UNION ALL
SELECT 'dead letters', count(*) FROM fate WHERE is_dead
UNION ALL
SELECT 'dead letters: ' || reason, count(*) FROM fate WHERE is_dead GROUP BY reason;
