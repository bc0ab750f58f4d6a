-- The first and the last time of which something may be told of some vehicles, by their readings, by those of the
-- meters that are bound to them, or by what is kept: null if there is nothing. Of a device that has sent before
-- `since` that is all since then. Else its first reading covers at most a day, its longest interval.
WITH reading AS (
    SELECT CASE WHEN first.at <= %(since)s THEN %(since)s ELSE first.at - interval '1 day' END AS first_at,
           last.at AS last_at
    FROM unnest(%(vehicles)s::text[]) AS asked (id)
    CROSS JOIN LATERAL (SELECT recorded_at AS at FROM vehicle_history
                        WHERE vehicle_id = asked.id ORDER BY recorded_at LIMIT 1) AS first
    CROSS JOIN LATERAL (SELECT recorded_at AS at FROM vehicle_history
                        WHERE vehicle_id = asked.id ORDER BY recorded_at DESC LIMIT 1) AS last
    UNION ALL
    SELECT CASE WHEN first.at <= %(since)s THEN %(since)s ELSE first.at - interval '1 day' END, last.at
    FROM unnest(%(meters)s::text[]) AS asked (id)
    CROSS JOIN LATERAL (SELECT recorded_at AS at FROM meter_history
                        WHERE meter_id = asked.id ORDER BY recorded_at LIMIT 1) AS first
    CROSS JOIN LATERAL (SELECT recorded_at AS at FROM meter_history
                        WHERE meter_id = asked.id ORDER BY recorded_at DESC LIMIT 1) AS last
    UNION ALL
    SELECT min(kept.day)::timestamp AT TIME ZONE 'UTC', max(kept.day + 1)::timestamp AT TIME ZONE 'UTC'
    FROM vehicle_day AS kept
    WHERE kept.vehicle_id = ANY (%(vehicles)s)
)
SELECT min(first_at) AS first_at, max(last_at) AS last_at FROM reading
