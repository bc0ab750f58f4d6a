-- The first day between two of each vehicle whose row cannot be trusted: it does not hold any more, or it is not
-- there, although the vehicle's silence may tell something. Vehicles without such a day are left out.
SELECT asked.place - 1 AS place, min(doubtful.day) AS day
FROM unnest(%(vehicles)s::text[]) WITH ORDINALITY AS asked (vehicle_id, place)
CROSS JOIN LATERAL (
    SELECT kept.day
    FROM vehicle_day AS kept
    WHERE kept.vehicle_id = asked.vehicle_id AND kept.day BETWEEN %(first)s AND %(last)s
      AND kept.holds_until <= %(as_of)s
    UNION ALL
    SELECT %(first)s::date + place
    FROM generate_series(0, %(last)s::date - %(first)s::date) AS place
    WHERE EXISTS (
              SELECT FROM device_facts AS facts
              WHERE facts.stream = 'vehicle' AND facts.device_id = asked.vehicle_id AND facts.reports_only_while_charging
          )
      AND NOT EXISTS (
              SELECT FROM vehicle_day AS kept
              WHERE kept.vehicle_id = asked.vehicle_id AND kept.day = %(first)s::date + place
          )
) AS doubtful
GROUP BY asked.place
