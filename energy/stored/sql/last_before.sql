-- The last reading of some devices at or before a time, each a time of its own; null if there is none.
SELECT told.at
FROM unnest(%(devices)s::text[], %(until)s::timestamptz[]) WITH ORDINALITY AS asked (device_id, until, place)
LEFT JOIN LATERAL (
    SELECT recorded_at AS at
    FROM {history}
    WHERE {id} = asked.device_id AND recorded_at <= asked.until
    ORDER BY recorded_at DESC
    LIMIT 1
) AS told ON true
ORDER BY asked.place
