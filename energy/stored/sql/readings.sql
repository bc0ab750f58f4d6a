-- The readings of some devices, each in a time of its own: after < recorded_at <= until. A row a device, in their
-- order. All times lie within `earliest` and `latest`, so that the planner knows which days to leave out.
SELECT told.at, told.kwh
FROM unnest(%(devices)s::text[], %(after)s::timestamptz[], %(until)s::timestamptz[])
         WITH ORDINALITY AS asked (device_id, after, until, place)
CROSS JOIN LATERAL (
    SELECT coalesce(array_agg(recorded_at ORDER BY recorded_at), '{{}}') AS at,
           coalesce(array_agg({kwh} ORDER BY recorded_at), '{{}}') AS kwh
    FROM {history}
    WHERE {id} = asked.device_id AND recorded_at > asked.after AND recorded_at <= asked.until
      AND recorded_at > %(earliest)s AND recorded_at <= %(latest)s
) AS told
ORDER BY asked.place
