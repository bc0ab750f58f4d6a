-- The first day between two on which each vehicle's row cannot be trusted; vehicles without such a day are left out.
SELECT asked.place - 1 AS place, doubtful.day
FROM unnest(%(vehicles)s::text[]) WITH ORDINALITY AS asked (vehicle_id, place)
CROSS JOIN LATERAL (
    SELECT first_doubtful_day(asked.vehicle_id, %(first)s, %(last)s, %(as_of)s) AS day
) AS doubtful
WHERE doubtful.day IS NOT NULL
