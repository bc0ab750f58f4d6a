-- The first and last acknowledged offset of each partition in the ledgers.
SELECT topic, partition, min(record_offset), max(record_offset)
FROM message
WHERE delivery = 'acknowledged' AND record_offset IS NOT NULL
GROUP BY topic, partition
ORDER BY topic, partition;
