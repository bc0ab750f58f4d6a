-- Stored readings whose values are not those that were sent.
SELECT
    topic, partition, record_offset, device_id, recorded_at,
    'stored with other values than the first message sent for this device and time' AS problem
FROM altered;
