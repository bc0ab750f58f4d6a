SELECT vehicle_id, model, battery_capacity_kwh, max_ac_kw, reading_kind, reading_interval_seconds,
       created_at, updated_at
FROM vehicle
WHERE vehicle_id > %(after)s
ORDER BY vehicle_id
LIMIT %(limit)s
