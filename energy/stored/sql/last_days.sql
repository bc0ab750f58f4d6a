-- The last reading of some vehicles and of the meters that are bound to them, and the end of what is kept of them.
SELECT greatest(
    (SELECT max(kept.day + 1)::timestamp AT TIME ZONE 'UTC' FROM vehicle_day AS kept
     WHERE kept.vehicle_id = ANY (%(vehicles)s)),
    (SELECT max(told.at) FROM unnest(%(vehicles)s::text[]) AS asked (id)
     CROSS JOIN LATERAL (SELECT recorded_at AS at FROM vehicle_history WHERE vehicle_id = asked.id
                         ORDER BY recorded_at DESC LIMIT 1) AS told),
    (SELECT max(told.at) FROM unnest(%(meters)s::text[]) AS asked (id)
     CROSS JOIN LATERAL (SELECT recorded_at AS at FROM meter_history WHERE meter_id = asked.id
                         ORDER BY recorded_at DESC LIMIT 1) AS told)
) AS last_at
