-- What became of each message, for one bucket of devices: the variables `buckets` and `bucket` say
-- which. One bucket at a time bounds the memory, however large the ledgers are.
--
-- 1. The bucket's messages, and its history: one row for each device and time, even if the table
--    has more.
CREATE OR REPLACE TABLE bucket_message AS
SELECT *
FROM message
WHERE hash(device_id) % getvariable('buckets') = getvariable('bucket');

CREATE OR REPLACE TABLE stored AS
SELECT
    topic, device_id, recorded_at,
    count(*) AS copies, first(m1) AS m1, first(m2) AS m2, first(m3) AS m3
FROM history
WHERE hash(device_id) % getvariable('buckets') = getvariable('bucket')
GROUP BY topic, device_id, recorded_at;

-- 2. Every reading that may be in the topic: the messages with one device and time. The first of
--    them in offset order decides what is stored. It is known only if all are acknowledged with an
--    offset in one partition.
CREATE OR REPLACE TABLE reading AS
SELECT
    topic, device_id, recorded_at,
    count(*) AS candidates,
    count(*) FILTER (delivery = 'acknowledged') AS acknowledged,
    bool_and(delivery = 'acknowledged' AND record_offset IS NOT NULL)
        AND min(partition) = max(partition) AS decided,
    min(partition) AS partition,
    min(record_offset) AS record_offset,
    arg_min([m1, m2, m3], record_offset) AS measures  -- a list: arg_min skips nulls
FROM bucket_message
WHERE recorded_at IS NOT NULL AND delivery <> 'failed'
GROUP BY topic, device_id, recorded_at;

-- 3. Stored readings with other values than the deciding message, or than any possible one.
CREATE OR REPLACE TABLE altered AS
SELECT r.topic, r.device_id, r.recorded_at, r.partition, r.record_offset
FROM reading AS r
JOIN stored AS s USING (topic, device_id, recorded_at)
WHERE r.decided AND [s.m1, s.m2, s.m3] IS DISTINCT FROM r.measures
UNION ALL
SELECT r.topic, r.device_id, r.recorded_at, r.partition, r.record_offset
FROM reading AS r
JOIN stored AS s USING (topic, device_id, recorded_at)
WHERE NOT r.decided AND NOT EXISTS (
    SELECT 1
    FROM bucket_message AS m
    WHERE m.topic = r.topic AND m.device_id = r.device_id AND m.recorded_at = r.recorded_at
      AND m.delivery <> 'failed'
      AND [m.m1, m.m2, m.m3] IS NOT DISTINCT FROM [s.m1, s.m2, s.m3]
);

-- 4. Every message whose offset is known, and what became of it. `is_equal`: the stored reading of
--    its device and time has its values.
CREATE OR REPLACE TABLE fate AS
SELECT
    m.topic, m.partition, m.record_offset, m.device_id, m.recorded_at,
    m.recorded_at IS NOT NULL AS is_reading,
    r.candidates,
    s.copies IS NOT NULL AS is_stored,
    s.copies IS NOT NULL
        AND [m.m1, m.m2, m.m3] IS NOT DISTINCT FROM [s.m1, s.m2, s.m3] AS is_equal,
    a.topic IS NOT NULL AS is_altered,
    m.reason AS expected_reason,
    d.topic IS NOT NULL AS is_dead,
    d.reason AS reason,
    coalesce(d.is_redriven, false) AS is_redriven,
    (m.value_sha256 IS NOT DISTINCT FROM d.value_sha256
        OR m.value_cut IS NOT DISTINCT FROM d.value_sha256 AND d.value_sha256 IS NOT NULL)
        AND m.key_sha256 IS NOT DISTINCT FROM d.key_sha256 AS has_its_bytes
FROM bucket_message AS m
LEFT JOIN reading AS r USING (topic, device_id, recorded_at)
LEFT JOIN stored AS s USING (topic, device_id, recorded_at)
LEFT JOIN altered AS a USING (topic, device_id, recorded_at)
LEFT JOIN dead_letter AS d
    ON d.topic = m.topic AND d.partition = m.partition AND d.record_offset = m.record_offset
WHERE m.delivery = 'acknowledged' AND m.record_offset IS NOT NULL;
