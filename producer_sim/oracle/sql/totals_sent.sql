-- The messages in the ledgers: one row for each figure, in the order of printing.
SELECT 'messages' AS figure, count(*) AS total FROM message
UNION ALL
SELECT 'acknowledged', count(*) FROM message WHERE delivery = 'acknowledged'
UNION ALL
SELECT 'acknowledged, offset not known', count(*)
FROM message WHERE delivery = 'acknowledged' AND record_offset IS NULL
UNION ALL
SELECT 'failed', count(*) FROM message WHERE delivery = 'failed'
UNION ALL
SELECT 'unknown', count(*) FROM message WHERE delivery = 'unknown';
