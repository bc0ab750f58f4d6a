-- The vehicles that are registered or have sent a reading.
SELECT vehicle_id FROM vehicle UNION SELECT vehicle_id FROM vehicle_current_state ORDER BY vehicle_id
