-- The first reading of some devices after a time, each after a time of its own; null if there is none.
SELECT told.at, told.kwh
FROM unnest(%(devices)s::text[], %(after)s::timestamptz[]) WITH ORDINALITY AS asked (device_id, after, place)
LEFT JOIN LATERAL (
    SELECT recorded_at AS at, {kwh} AS kwh
    FROM {history}
    WHERE {id} = asked.device_id AND recorded_at > asked.after AND recorded_at > %(earliest)s
    ORDER BY recorded_at
    LIMIT 1
) AS told ON true
ORDER BY asked.place
