-- The vehicles whose energy is not what is kept, and after which hour: those that are due, and those that notes
-- concern.
SELECT affected.vehicle_id, min(affected.since) AS since
FROM (
    SELECT due.vehicle_id, due.since FROM vehicle_due AS due
    UNION ALL
    SELECT noted.vehicle_id, noted.since
    FROM (
        SELECT array_agg(due.stream) AS streams, array_agg(pair.device_id) AS devices,
               array_agg(pair.hour) AS hours
        FROM rollup_due AS due, unnest(due.devices, due.hours) AS pair (device_id, hour)
    ) AS told
    CROSS JOIN LATERAL vehicles_noted(told.streams, told.devices, told.hours) AS noted
) AS affected
GROUP BY affected.vehicle_id
