-- Stored readings with other values than were sent.
SELECT
    topic, partition, record_offset, device_id, recorded_at,
    'stored with other values than the first message sent for this device and time' AS problem
FROM altered;
