-- The readings of some devices, each in a time of its own: start < recorded_at <= end. With each come the last
-- one at or before its start and, if it is asked for, the first one after its end.
SELECT told.at, told.kwh
FROM unnest(%(devices)s::text[], %(starts)s::timestamptz[], %(ends)s::timestamptz[])
         WITH ORDINALITY AS asked (device_id, start_at, end_at, place)
CROSS JOIN LATERAL (
    SELECT coalesce(array_agg(one.recorded_at ORDER BY one.recorded_at), '{{}}') AS at,
           coalesce(array_agg(one.kwh ORDER BY one.recorded_at), '{{}}') AS kwh
    FROM (
        (SELECT recorded_at, {kwh} AS kwh FROM {history}
         WHERE {id} = asked.device_id AND recorded_at <= asked.start_at AND recorded_at > %(earliest)s
         ORDER BY recorded_at DESC LIMIT 1)
        UNION ALL
        SELECT recorded_at, {kwh} FROM {history}
        WHERE {id} = asked.device_id AND recorded_at > asked.start_at AND recorded_at <= asked.end_at
          AND recorded_at > %(earliest)s AND recorded_at <= %(latest)s
        UNION ALL
        (SELECT recorded_at, {kwh} FROM {history}
         WHERE {id} = asked.device_id AND recorded_at > asked.end_at
         ORDER BY recorded_at LIMIT 1)
    ) AS one
) AS told
ORDER BY asked.place
