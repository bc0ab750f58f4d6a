-- The vehicles that are bound to some meters after a time, each a time of its own.
SELECT asked.place - 1 AS place, bond.vehicle_id
FROM unnest(%(meters)s::text[], %(starts)s::timestamptz[]) WITH ORDINALITY AS asked (meter_id, start_at, place)
CROSS JOIN LATERAL (
    SELECT assignment.vehicle_id FROM vehicle_meter_assignment AS assignment
    WHERE assignment.meter_id = asked.meter_id AND assignment.during && tstzrange(asked.start_at, NULL, '()')
    UNION
    SELECT session.vehicle_id FROM charging_session AS session
    WHERE exactly(session.meter_id) = exactly(asked.meter_id)
      AND session.during && tstzrange(asked.start_at, NULL, '()')
) AS bond
