-- The current states that follow a place in the order of writing, of all devices or of those named, but
-- none that was written longer ago than `furthest_back`.
SELECT kind, device_id, recorded_at, updated_at, kwh, voltage, soc, battery_temp
FROM (
    SELECT 'meter' AS kind, meter_id AS device_id, recorded_at, updated_at, kwh_consumed_ac AS kwh, voltage,
           NULL::float8 AS soc, NULL::float8 AS battery_temp
    FROM meter_current_state WHERE %(all)s OR meter_id = ANY (%(meters)s)
    UNION ALL
    SELECT 'vehicle', vehicle_id, recorded_at, updated_at, kwh_delivered_dc, NULL, soc, battery_temp
    FROM vehicle_current_state WHERE %(all)s OR vehicle_id = ANY (%(vehicles)s)
) AS state
WHERE updated_at > statement_timestamp() - %(furthest_back)s
  AND (updated_at, kind, device_id) > (%(since)s, %(kind)s, %(device_id)s)
ORDER BY updated_at, kind, device_id
LIMIT %(limit)s
