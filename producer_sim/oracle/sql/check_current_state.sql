-- Current states that are not the newest stored reading of their device.
SELECT
    topic, NULL AS partition, NULL AS record_offset, device_id,
    coalesce(c.recorded_at, n.recorded_at) AS recorded_at,
    CASE
        WHEN c.recorded_at IS NULL THEN 'has history, but no current state'
        WHEN n.recorded_at IS NULL THEN 'has a current state, but no history'
        WHEN c.recorded_at < n.recorded_at THEN 'older than the newest reading in history'
        WHEN c.recorded_at > n.recorded_at THEN 'newer than the newest reading in history'
        ELSE 'other values than the reading of that time in history'
    END AS problem
FROM newest AS n
FULL JOIN current_state AS c USING (topic, device_id)
WHERE c.recorded_at IS DISTINCT FROM n.recorded_at
   OR c.m1 IS DISTINCT FROM n.m1 OR c.m2 IS DISTINCT FROM n.m2 OR c.m3 IS DISTINCT FROM n.m3;
