-- What is kept of some vehicles from an hour on, each until an hour of its own (hours since 1970).
SELECT asked.place - 1 AS place, sum(told.ac) AS ac, sum(told.dc) AS dc,
       sum(told.ac_known_us + gap.ac_us) AS ac_known_us, sum(told.dc_known_us + gap.dc_us) AS dc_known_us
FROM unnest(%(vehicles)s::text[], %(untils)s::integer[]) WITH ORDINALITY AS asked (vehicle_id, until_hour, place)
JOIN vehicle_day AS kept
    ON kept.vehicle_id = asked.vehicle_id
   AND kept.day >= date '1970-01-01' + %(start)s / 24 AND kept.day <= date '1970-01-01' + (asked.until_hour - 1) / 24
CROSS JOIN LATERAL (
    SELECT coalesce(sum(one.ac), 0) AS ac, coalesce(sum(one.dc), 0) AS dc,
           coalesce(sum(one.ac_known_us), 0) AS ac_known_us, coalesce(sum(one.dc_known_us), 0) AS dc_known_us
    FROM unnest(kept.ac, kept.dc, kept.ac_known_us, kept.dc_known_us)
             WITH ORDINALITY AS one (ac, dc, ac_known_us, dc_known_us, number)
    WHERE (kept.day - date '1970-01-01') * 24 + one.number > %(start)s
      AND (kept.day - date '1970-01-01') * 24 + one.number <= asked.until_hour
) AS told
CROSS JOIN LATERAL (
    SELECT coalesce(sum(one.length) FILTER (WHERE one.is_ac), 0) AS ac_us,
           coalesce(sum(one.length) FILTER (WHERE NOT one.is_ac), 0) AS dc_us
    FROM unnest(kept.gap_starts, kept.gap_ends, kept.gap_lengths, kept.gap_is_ac)
             AS one (started_at, ended_at, length, is_ac)
    WHERE one.started_at >= to_timestamp(%(start)s::bigint * 3600)
      AND one.ended_at <= to_timestamp(asked.until_hour::bigint * 3600)
) AS gap
GROUP BY asked.place
