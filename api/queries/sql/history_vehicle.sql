SELECT vehicle_id, recorded_at AS timestamp, soc, kwh_delivered_dc, battery_temp, ingested_at
FROM vehicle_history
WHERE vehicle_id = %(device_id)s AND recorded_at > %(after)s AND recorded_at <= %(end)s
ORDER BY recorded_at
LIMIT %(limit)s
