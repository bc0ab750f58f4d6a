SELECT vehicle_id, recorded_at AS timestamp, soc, kwh_delivered_dc, battery_temp, updated_at
FROM vehicle_current_state
WHERE vehicle_id = %(device_id)s
