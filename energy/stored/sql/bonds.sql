-- The assignments and sessions of some vehicles and meters that overlap a time, and all others of the meters that
-- they name.
WITH concerned AS (
    SELECT bond.meter_id
    FROM unnest(%(vehicles)s::text[]) AS asked (vehicle_id)
    CROSS JOIN LATERAL (
        SELECT assignment.meter_id FROM vehicle_meter_assignment AS assignment
        WHERE exactly(assignment.vehicle_id) = exactly(asked.vehicle_id)
          AND assignment.during && tstzrange(%(start)s, %(end)s, '(]')
        UNION ALL
        SELECT session.meter_id FROM charging_session AS session
        WHERE exactly(session.vehicle_id) = exactly(asked.vehicle_id)
          AND session.during && tstzrange(%(start)s, %(end)s, '(]')
    ) AS bond
    UNION
    SELECT unnest(%(meters)s::text[])
)
SELECT true AS is_session, session.vehicle_id, session.meter_id, session.started_at, session.ended_at
FROM concerned
JOIN charging_session AS session
    ON exactly(session.meter_id) = exactly(concerned.meter_id)
   AND session.during && tstzrange(%(start)s, %(end)s, '(]')
UNION ALL
SELECT false, assignment.vehicle_id, assignment.meter_id, assignment.started_at, assignment.ended_at
FROM concerned
JOIN vehicle_meter_assignment AS assignment
    ON assignment.meter_id = concerned.meter_id AND assignment.during && tstzrange(%(start)s, %(end)s, '(]')
