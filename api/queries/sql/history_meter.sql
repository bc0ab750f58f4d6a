SELECT meter_id, recorded_at AS timestamp, kwh_consumed_ac, voltage, ingested_at
FROM meter_history
WHERE meter_id = %(device_id)s AND recorded_at > %(after)s AND recorded_at <= %(end)s
ORDER BY recorded_at
LIMIT %(limit)s
