-- Sessions and what they came to so far: of all, or of one vehicle or meter, or those under way.
SELECT session_id, vehicle_id, meter_id, started_at, ended_at,
       coalesce(ac.energy, 0)::float8 / 1e9 AS ac_kwh,
       coalesce(dc.energy, 0)::float8 / 1e9 AS dc_kwh,
       dc.energy::float8 / nullif(ac.energy::float8, 0) AS ratio
FROM (
    SELECT * FROM charging_session
    WHERE session_id > %(after)s
      AND (%(vehicle_id)s::text IS NULL OR exactly(vehicle_id) = exactly(%(vehicle_id)s))
      AND (%(meter_id)s::text IS NULL OR exactly(meter_id) = exactly(%(meter_id)s))
      AND (ended_at IS NULL OR NOT %(only_active)s)
    ORDER BY session_id
    LIMIT %(limit)s
) AS session,
    LATERAL (SELECT sum(energy) AS energy
             FROM meter_energy(meter_id, started_at, coalesce(ended_at, 'infinity'))) AS ac,
    LATERAL (SELECT sum(energy) AS energy
             FROM vehicle_energy(vehicle_id, started_at, coalesce(ended_at, 'infinity'))) AS dc
ORDER BY session_id
