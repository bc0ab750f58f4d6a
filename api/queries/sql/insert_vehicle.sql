INSERT INTO vehicle (vehicle_id, model, battery_capacity_kwh, max_ac_kw, reading_kind, reading_interval_seconds)
VALUES (%(vehicle_id)s, %(model)s, %(battery_capacity_kwh)s, %(max_ac_kw)s, %(reading_kind)s, %(reading_interval_seconds)s)
ON CONFLICT DO NOTHING
RETURNING vehicle_id, model, battery_capacity_kwh, max_ac_kw, reading_kind, reading_interval_seconds,
          created_at, updated_at
