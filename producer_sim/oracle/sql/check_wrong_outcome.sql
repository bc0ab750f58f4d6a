-- Messages that ended elsewhere than they must.
WITH judged AS (
    SELECT *, CASE
        WHEN NOT is_reading AND NOT is_dead
            THEN 'no dead letter, expected ' || expected_reason
        WHEN NOT is_reading AND reason <> expected_reason
            THEN 'dead-lettered as ' || reason || ', expected ' || expected_reason
        WHEN is_reading AND is_dead AND NOT is_stored
            THEN 'dead-lettered as ' || reason || ', expected to be stored'
        WHEN is_reading AND is_dead AND is_equal AND candidates > 1 AND NOT is_redriven
            THEN 'dead-lettered as ' || reason || ', but equals the stored reading'
        WHEN is_reading AND is_stored AND NOT is_equal AND NOT is_altered AND NOT is_dead
            THEN 'differs from the stored reading, but is not a dead letter'
        WHEN is_reading AND is_stored AND NOT is_equal AND is_dead
            AND reason <> 'conflicting_duplicate' AND NOT is_redriven
            THEN 'dead-lettered as ' || reason || ', expected conflicting_duplicate'
        WHEN is_dead AND NOT has_its_bytes
            THEN 'dead-lettered with another key or other bytes'
    END AS problem
    FROM fate
)
SELECT topic, partition, record_offset, device_id, recorded_at, problem
FROM judged
WHERE problem IS NOT NULL;
