SELECT EXISTS (SELECT FROM vehicle WHERE vehicle_id = %(vehicle_id)s)
    OR EXISTS (SELECT FROM vehicle_current_state WHERE vehicle_id = %(vehicle_id)s)
    OR EXISTS (SELECT FROM vehicle_meter_assignment WHERE exactly(vehicle_id) = exactly(%(vehicle_id)s))
    OR EXISTS (SELECT FROM charging_session WHERE exactly(vehicle_id) = exactly(%(vehicle_id)s)) AS known
