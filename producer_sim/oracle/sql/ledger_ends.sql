-- The offsets that the ledgers span, by partition.
SELECT topic, partition, min(record_offset), max(record_offset)
FROM message
WHERE delivery = 'acknowledged' AND record_offset IS NOT NULL
GROUP BY topic, partition
ORDER BY topic, partition;
