SELECT meter_id, location, capacity_kw, reading_kind, register_modulus_kwh, reading_interval_seconds,
       created_at, updated_at
FROM meter
WHERE meter_id = %(device_id)s
