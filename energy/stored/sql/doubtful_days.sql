-- The first day between two on which each vehicle's row cannot be trusted; vehicles without such a day are left out.
WITH open AS MATERIALIZED (
    SELECT coalesce(array_agg(open.day), '{}') AS days, coalesce(array_agg(open.done_to), '{}') AS done_to
    FROM open_days(%(first)s, %(last)s) AS open
)
SELECT asked.place - 1 AS place, doubtful.day
FROM open
CROSS JOIN unnest(%(vehicles)s::text[]) WITH ORDINALITY AS asked (vehicle_id, place)
CROSS JOIN LATERAL (
    SELECT first_doubtful_day(asked.vehicle_id, %(first)s, %(last)s, %(as_of)s, open.days, open.done_to) AS day
) AS doubtful
WHERE doubtful.day IS NOT NULL
