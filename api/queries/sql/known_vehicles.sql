-- The vehicles that are registered or have sent a reading, whose ids begin with `prefix`, in their order.
SELECT known.vehicle_id, state.recorded_at, state.soc, state.battery_temp, device.model
FROM (
    (SELECT vehicle_id FROM vehicle
     WHERE vehicle_id > %(after)s AND vehicle_id >= %(prefix)s AND starts_with(vehicle_id, %(prefix)s)
     ORDER BY vehicle_id LIMIT %(limit)s)
    UNION
    (SELECT vehicle_id FROM vehicle_current_state
     WHERE vehicle_id > %(after)s AND vehicle_id >= %(prefix)s AND starts_with(vehicle_id, %(prefix)s)
     ORDER BY vehicle_id LIMIT %(limit)s)
) AS known
LEFT JOIN vehicle_current_state AS state USING (vehicle_id)
LEFT JOIN vehicle AS device USING (vehicle_id)
ORDER BY known.vehicle_id
LIMIT %(limit)s
