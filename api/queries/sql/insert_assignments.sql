-- In their order.
INSERT INTO vehicle_meter_assignment (vehicle_id, meter_id, started_at, ended_at)
SELECT vehicle_id, meter_id, started_at, ended_at
FROM unnest(%(vehicle_ids)s::text[], %(meter_ids)s::text[], %(starts)s::timestamptz[], %(ends)s::timestamptz[])
         WITH ORDINALITY AS new (vehicle_id, meter_id, started_at, ended_at, place)
ORDER BY place
RETURNING assignment_id, vehicle_id, meter_id, started_at AS start, ended_at AS "end"
