-- Load the parts of one ledger into `message`. The key of a canonical message is its device's id, and
-- its value follows from its fields, so their hashes are computed only if they are needed.
INSERT INTO message
SELECT
    $ledger, topic, partition, record_offset, device_id, recorded_at,
    coalesce(kwh_consumed_ac, soc),
    coalesce(voltage, kwh_delivered_dc),
    CASE WHEN kwh_delivered_dc IS NOT NULL THEN battery_temp ELSE 0 END,
    canonical,
    CASE WHEN NOT canonical THEN sha256(key) END,
    CASE WHEN NOT canonical THEN sha256(value) END,
    CASE WHEN NOT canonical
        THEN concat_ws(
            ' ', octet_length(value), sha256(value),
            sha256(unhex(left(hex(value), 2 * 1024)))  -- DuckDB cannot slice bytes
        )
    END,
    reason, delivery
FROM read_parquet($parts);
