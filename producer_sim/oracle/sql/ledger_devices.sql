-- The devices of one topic in the ledgers, and the time span of their readings.
SELECT list(DISTINCT device_id), min(recorded_at), max(recorded_at)
FROM message
WHERE topic = $topic;
