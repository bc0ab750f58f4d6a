-- The devices of one topic in the ledgers, and the times that they span.
SELECT list(DISTINCT device_id), min(recorded_at), max(recorded_at)
FROM message
WHERE topic = $topic;
