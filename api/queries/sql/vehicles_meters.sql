-- The first meters that charged each vehicle, in order of their ids, and how many charged it.
SELECT asked.vehicle_id, (array_agg(meter.meter_id ORDER BY meter.meter_id))[:%(most_meters)s] AS meters,
       count(*) AS known
FROM unnest(%(vehicle_ids)s::text[]) AS asked (vehicle_id),
    LATERAL vehicle_meters(asked.vehicle_id, %(start)s, %(end)s) AS meter
GROUP BY asked.vehicle_id
