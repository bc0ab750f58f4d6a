-- Current states written since a time. The tables are read whole: they have one row a device, and the
-- consumer would have to update an index on updated_at with every reading.
SELECT 'meter' AS kind, meter_id AS device_id, recorded_at, updated_at, kwh_consumed_ac AS kwh, voltage,
       NULL::float8 AS soc, NULL::float8 AS battery_temp
FROM meter_current_state WHERE updated_at > %(since)s
UNION ALL
SELECT 'vehicle', vehicle_id, recorded_at, updated_at, kwh_delivered_dc, NULL, soc, battery_temp
FROM vehicle_current_state WHERE updated_at > %(since)s
ORDER BY updated_at
