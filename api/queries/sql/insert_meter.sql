INSERT INTO meter (meter_id, location, capacity_kw, reading_kind, register_modulus_kwh, reading_interval_seconds)
VALUES (%(meter_id)s, %(location)s, %(capacity_kw)s, %(reading_kind)s, %(register_modulus_kwh)s, %(reading_interval_seconds)s)
ON CONFLICT DO NOTHING
RETURNING meter_id, location, capacity_kw, reading_kind, register_modulus_kwh, reading_interval_seconds,
          created_at, updated_at
