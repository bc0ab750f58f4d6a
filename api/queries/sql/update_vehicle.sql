-- What is not sent stays as it is; null clears it.
UPDATE vehicle AS old
SET (model, battery_capacity_kwh, max_ac_kw, reading_kind, reading_interval_seconds, updated_at) = (
    SELECT model, battery_capacity_kwh, max_ac_kw, reading_kind, reading_interval_seconds, now()
    FROM jsonb_populate_record(old, %(changes)s)
)
WHERE vehicle_id = %(device_id)s
RETURNING vehicle_id, model, battery_capacity_kwh, max_ac_kw, reading_kind, reading_interval_seconds,
          created_at, updated_at
