-- A session and what it came to so far: all energy that its meter drew and its vehicle took meanwhile.
SELECT session_id, vehicle_id, meter_id, started_at, ended_at,
       coalesce(ac.energy, 0)::float8 / 1e9 AS ac_kwh,
       coalesce(dc.energy, 0)::float8 / 1e9 AS dc_kwh,
       dc.energy::float8 / nullif(ac.energy::float8, 0) AS ratio
FROM charging_session,
    LATERAL (SELECT sum(energy) AS energy
             FROM meter_energy(meter_id, started_at, coalesce(ended_at, 'infinity'))) AS ac,
    LATERAL (SELECT sum(energy) AS energy
             FROM vehicle_energy(vehicle_id, started_at, coalesce(ended_at, 'infinity'))) AS dc
WHERE session_id = %(session_id)s
