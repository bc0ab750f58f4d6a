-- The readings of some devices in `after` < recorded_at <= `until`, with the last one before and the first one
-- after, wherever they are. A row a device, in the order of the devices.
SELECT told.at, told.kwh
FROM unnest(%(devices)s::text[]) WITH ORDINALITY AS asked (device_id, place)
CROSS JOIN LATERAL (
    SELECT coalesce(array_agg(one.recorded_at ORDER BY one.recorded_at), '{{}}') AS at,
           coalesce(array_agg(one.kwh ORDER BY one.recorded_at), '{{}}') AS kwh
    FROM (
        SELECT recorded_at, {kwh} AS kwh FROM {history}
        WHERE {id} = asked.device_id AND recorded_at > %(after)s AND recorded_at <= %(until)s
        UNION ALL
        (SELECT recorded_at, {kwh} FROM {history}
         WHERE {id} = asked.device_id AND recorded_at <= %(after)s
         ORDER BY recorded_at DESC LIMIT 1)
        UNION ALL
        (SELECT recorded_at, {kwh} FROM {history}
         WHERE {id} = asked.device_id AND recorded_at > %(until)s
         ORDER BY recorded_at LIMIT 1)
    ) AS one
) AS told
ORDER BY asked.place
