-- The meters that charged some vehicles, by vehicle: the first ones, and how many there were.
SELECT asked.vehicle_id, (array_agg(meter.meter_id ORDER BY meter.meter_id))[:%(most_meters)s] AS meters,
       count(*) AS known
FROM unnest(%(vehicle_ids)s::text[]) AS asked (vehicle_id),
    LATERAL vehicle_meters(asked.vehicle_id, %(start)s, %(end)s) AS meter
GROUP BY asked.vehicle_id
