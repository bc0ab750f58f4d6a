SELECT meter_id, recorded_at AS timestamp, kwh_consumed_ac, voltage, updated_at
FROM meter_current_state
WHERE meter_id = %(device_id)s
