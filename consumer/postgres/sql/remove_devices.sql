WITH readings AS (
    DELETE FROM {history} WHERE {id} = ANY (%(devices)s)
), state AS (
    DELETE FROM {current_state} WHERE {id} = ANY (%(devices)s)
)
-- By its key: day after day, each device.
DELETE FROM energy_rollup AS rolled
USING (SELECT min(day) AS first_day, max(day) AS last_day FROM energy_rollup WHERE stream = %(stream)s) AS kept,
    generate_series(kept.first_day, kept.last_day, interval '1 day') AS asked (day),
    unnest(%(devices)s::text[]) AS device (device_id)
WHERE rolled.stream = %(stream)s AND rolled.day = asked.day::date AND rolled.device_id = device.device_id
