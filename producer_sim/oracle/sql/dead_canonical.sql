-- Dead-lettered messages of which the ledger keeps only the fields: their bytes follow from those.
SELECT m.topic, m.partition, m.record_offset, m.device_id, m.recorded_at, m.m1, m.m2, m.m3
FROM message AS m
JOIN dead_letter AS d USING (topic, partition, record_offset)
WHERE m.canonical AND m.delivery = 'acknowledged';
