-- How many devices are registered, and how many sent readings and are not.
SELECT 'meter', (SELECT count(*) FROM meter),
       (SELECT count(*) FROM meter_current_state AS known
        WHERE NOT EXISTS (SELECT FROM meter WHERE meter.meter_id = known.meter_id))
UNION ALL
SELECT 'vehicle', (SELECT count(*) FROM vehicle),
       (SELECT count(*) FROM vehicle_current_state AS known
        WHERE NOT EXISTS (SELECT FROM vehicle WHERE vehicle.vehicle_id = known.vehicle_id))
