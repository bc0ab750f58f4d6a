-- The vehicle's sessions that overlap a window, and their energy within it.
SELECT session.session_id, session.meter_id, session.started_at, session.ended_at,
       coalesce(ac.energy, 0)::float8 / 1e9 AS ac_kwh,
       coalesce(dc.energy, 0)::float8 / 1e9 AS dc_kwh
FROM (
    SELECT * FROM charging_session
    WHERE exactly(vehicle_id) = exactly(%(vehicle_id)s)
      AND during && tstzrange(%(start)s, %(end)s, '(]')
    ORDER BY started_at
    LIMIT %(limit)s
) AS session,
    LATERAL (SELECT greatest(started_at, %(start)s) AS began,
                    least(coalesce(ended_at, 'infinity'), %(end)s) AS ended) AS here,
    LATERAL (SELECT sum(energy) AS energy FROM meter_energy(meter_id, began, ended)) AS ac,
    LATERAL (SELECT sum(energy) AS energy FROM vehicle_energy(vehicle_id, began, ended)) AS dc
ORDER BY session.started_at
