-- What is not sent stays as it is; null clears it.
UPDATE meter AS old
SET (location, capacity_kw, reading_kind, register_modulus_kwh, reading_interval_seconds, updated_at) = (
    SELECT location, capacity_kw, reading_kind, register_modulus_kwh, reading_interval_seconds, now()
    FROM jsonb_populate_record(old, %(changes)s)
)
WHERE meter_id = %(device_id)s
RETURNING meter_id, location, capacity_kw, reading_kind, register_modulus_kwh, reading_interval_seconds,
          created_at, updated_at
