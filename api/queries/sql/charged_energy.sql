-- The energy of charges, in their order: all that the meter drew and the vehicle took meanwhile.
SELECT coalesce(ac.energy, 0)::float8 / 1e9 AS ac_kwh,
       coalesce(dc.energy, 0)::float8 / 1e9 AS dc_kwh,
       dc.energy::float8 / nullif(ac.energy::float8, 0) AS ratio
FROM unnest(%(vehicle_ids)s::text[], %(meter_ids)s::text[], %(starts)s::timestamptz[], %(ends)s::timestamptz[])
         WITH ORDINALITY AS charge (vehicle_id, meter_id, started_at, ended_at, place),
    LATERAL (SELECT sum(energy) AS energy
             FROM meter_energy(meter_id, started_at, coalesce(ended_at, 'infinity'))) AS ac,
    LATERAL (SELECT sum(energy) AS energy
             FROM vehicle_energy(vehicle_id, started_at, coalesce(ended_at, 'infinity'))) AS dc
ORDER BY place
