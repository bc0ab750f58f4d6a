-- What spans of time come to, from rollups and history together.

-- What each of some spans of a window comes to: the energy of its device in nanokilowatt-hours, and for how
-- long something is known of it. Spans are numbered from 1, by their place in the three arrays. From
-- rollups as far as they go, from history where they do not. A span without times comes to nothing.
CREATE OR REPLACE FUNCTION span_energy(
    of_stream text, window_start timestamptz, window_end timestamptz,
    devices text[], starts timestamptz[], ends timestamptz[]
) RETURNS TABLE (number bigint, energy numeric, covered interval)
LANGUAGE plpgsql STABLE SET plan_cache_mode = force_custom_plan SET work_mem = '8MB' SET timezone = 'UTC' AS $$
DECLARE
    first_day CONSTANT date := window_start::date;
    last_day  CONSTANT date := (window_end - interval '1 microsecond')::date;
    -- Days on which a device that is not rolled up may have readings all the same.
    open_days CONSTANT date[] := ARRAY(
        SELECT asked.day::date
        FROM generate_series(first_day, last_day, interval '1 day') AS asked (day)
        WHERE NOT EXISTS (SELECT FROM rollup_day AS d
                          WHERE d.stream = of_stream AND d.day = asked.day::date AND d.done_to IS NULL)
          AND has_readings(of_stream, asked.day::date)
        ORDER BY 1);
BEGIN
    RETURN QUERY
    WITH dirty AS (
        -- From this hour on, history. The day before counts too: a day's first reading goes back to it.
        SELECT pair.device_id, min(pair.hour) AS hour
        FROM rollup_due AS due, unnest(due.devices, due.hours) AS pair (device_id, hour)
        WHERE due.stream = of_stream AND pair.hour >= (first_day - 1 - date '1970-01-01') * 24
        GROUP BY 1
    ), span AS MATERIALIZED (
        SELECT s.number, s.device_id, s.began, s.ended, s.until, s.is_clean,
               s.is_register, s.every, s.capacity_kw, s.modulus_kwh,
               -- Rollups know whole hours, since 1970 here.
               ceil(hours.began)::integer AS from_hour, floor(hours.until)::integer AS until_hour,
               ceil(hours.began) > hours.began AS has_head,
               (s.is_register OR s.every <= interval '1 hour') AND ceil(hours.began) < hours.until AS is_rolled
        FROM (
            SELECT asked.number, asked.device_id, asked.began, asked.ended,
                   coalesce(m.reading_kind, v.reading_kind) IS NOT DISTINCT FROM 'register' AS is_register,
                   make_interval(secs => coalesce(m.reading_interval_seconds, v.reading_interval_seconds, 60)) AS every,
                   m.capacity_kw, m.register_modulus_kwh AS modulus_kwh,
                   least(asked.ended, timestamptz 'epoch' + make_interval(hours => dirty.hour)) AS until,
                   coalesce(timestamptz 'epoch' + make_interval(hours => dirty.hour) >= asked.ended, true) AS is_clean
            FROM unnest(devices, starts, ends) WITH ORDINALITY AS asked (device_id, began, ended, number)
            -- Not by the view: how many rows that has of a device the planner does not know.
            LEFT JOIN meter AS m ON of_stream = 'meter' AND m.meter_id = asked.device_id
            LEFT JOIN vehicle AS v ON of_stream = 'vehicle' AND v.vehicle_id = asked.device_id
            LEFT JOIN dirty ON dirty.device_id = asked.device_id
        ) AS s
        CROSS JOIN LATERAL (SELECT date_part('epoch', s.began) / 3600 AS began,
                                   date_part('epoch', s.until) / 3600 AS until) AS hours
    ), rolled AS NOT MATERIALIZED (
        SELECT s.number, s.device_id, s.is_register, s.capacity_kw, s.modulus_kwh, r.day,
               r.is_register = s.is_register AND r.every = s.every AND r.capacity_kw IS NOT DISTINCT FROM s.capacity_kw
                   AND r.modulus_kwh IS NOT DISTINCT FROM s.modulus_kwh AND NOT r.is_held AND r.energy[25] IS NOT NULL AS is_good,
               r.energy[edge.high + 1] - r.energy[edge.low + 1] AS energy,
               r.covered[edge.high + 1] - r.covered[edge.low + 1] AS covered,
               r.first_after[edge.low + 1] AS first_at, r.last_at[edge.high + 1] AS last_at,
               r.last_at[edge.low + 1] AS day_before_at, r.before_at, r.first_value, r.first_after[1] AS day_first_at, s.until,
               -- Where it ends although the day goes on.
               CASE WHEN edge.high < 24 AND midnight.hour <= s.until_hour THEN s.until_hour END AS cut_hour
        FROM span AS s
        JOIN energy_rollup AS r ON r.stream = of_stream AND r.device_id = s.device_id
            AND r.day BETWEEN first_day AND last_day
        CROSS JOIN LATERAL (SELECT (r.day - date '1970-01-01') * 24 AS hour) AS midnight
        CROSS JOIN LATERAL (
            -- Days beside the span are none of it: both are 24 before it, and 0 after it.
            SELECT least(24, greatest(0, s.from_hour - midnight.hour)) AS low,
                   CASE WHEN s.until_hour - midnight.hour >= 24 OR s.is_clean AND r.last_at[25] <= s.until THEN 24
                        ELSE greatest(0, s.until_hour - midnight.hour) END AS high
        ) AS edge
        WHERE s.is_rolled
    ), whole AS MATERIALIZED (
        SELECT r.number, bool_and(r.is_good) AS is_good, sum(r.energy) AS energy, sum(r.covered) AS covered,
               min(r.first_at) FILTER (WHERE r.first_at <= r.last_at) AS first_at, max(r.last_at) AS last_at,
               min(coalesce(r.day_before_at, r.before_at)) FILTER (WHERE r.first_at <= r.last_at) AS previous_at,
               max(r.cut_hour) AS cut_hour,
               count(*) FILTER (WHERE r.day = ANY (open_days)) AS open_rolled, max(r.day) AS last_day
        FROM rolled AS r
        GROUP BY r.number
    ), joint AS MATERIALIZED (
        -- What a register gained from its last reading before a day to the first one of it. That must not
        -- leave it below its baseline, before the span neither: what it is compared with begins at the window's.
        SELECT r.number, before.recorded_at AS previous_at, (step.state).energy,
               (step.state).baseline IS NOT DISTINCT FROM r.first_value OR before.recorded_at IS NULL AS is_good,
               r.day_before_at IS NULL AND r.first_at <= r.last_at AS is_in_span
        FROM rolled AS r
        LEFT JOIN energy_rollup AS yesterday ON yesterday.stream = of_stream
            AND yesterday.device_id = r.device_id AND yesterday.day = r.day - 1
        LEFT JOIN LATERAL (
            SELECT yesterday.last_at[25] AS recorded_at, yesterday.last_value AS kwh WHERE yesterday.is_register
            UNION ALL
            SELECT last.* FROM last_reading(of_stream, r.device_id, r.day::timestamptz) AS last
            WHERE yesterday.is_register IS NOT TRUE
        ) AS before ON true
        CROSS JOIN LATERAL (
            SELECT register_step(ROW(before.kwh, before.recorded_at, 0, false)::register_state, r.first_value,
                                 r.day_first_at, r.capacity_kw, r.modulus_kwh) AS state
        ) AS step
        WHERE r.is_register AND r.day_first_at > window_start AND r.day_first_at <= r.until
    ), composed AS MATERIALIZED (
        SELECT s.*, w.energy, w.covered, w.first_at, w.last_at, w.previous_at,
               -- From here on, history.
               least(CASE WHEN NOT s.is_clean THEN s.until
                          ELSE timestamptz 'epoch' + make_interval(hours => w.cut_hour) END,
                     missing.day::timestamptz) AS tail_from
        FROM span AS s
        LEFT JOIN whole AS w USING (number)
        -- The first day that has to come from history; nothing after it may come from rollups.
        CROSS JOIN LATERAL (SELECT open_days[coalesce(w.open_rolled, 0) + 1] AS day) AS missing
        WHERE s.is_rolled AND w.is_good IS NOT FALSE
          AND (missing.day IS NULL OR s.from_hour < (missing.day - date '1970-01-01') * 24
                                      AND (w.last_day IS NULL OR w.last_day < missing.day))
          -- Not by NOT EXISTS, here and below: of few rows the planner makes a loop of that, and few is
          -- what it takes them to be.
          AND s.number NOT IN (SELECT j.number FROM joint AS j WHERE NOT j.is_good)
    ), left_over AS MATERIALIZED (
        SELECT s.* FROM span AS s WHERE s.number NOT IN (SELECT c.number FROM composed AS c)
    ), counted AS MATERIALIZED (
        -- Each register once, however many spans are of it.
        SELECT one.device_id, e.recorded_at, e.previous_at, e.energy,
               floor(date_part('epoch', e.recorded_at) / 3600)::integer AS hour
        FROM (SELECT DISTINCT l.device_id FROM left_over AS l WHERE l.is_register) AS one
        CROSS JOIN LATERAL (
            SELECT m.recorded_at, m.previous_at, m.energy FROM meter_energy(one.device_id, window_start, window_end) AS m
            WHERE of_stream = 'meter'
            UNION ALL
            SELECT v.recorded_at, v.previous_at, v.energy FROM vehicle_energy(one.device_id, window_start, window_end) AS v
            WHERE of_stream = 'vehicle'
        ) AS e
    ), edge AS (
        SELECT c.number, c.device_id, c.is_register, c.every, c.capacity_kw, c.modulus_kwh, NULL::timestamptz AS previous_at,
               c.began AS edge_start, timestamptz 'epoch' + make_interval(hours => c.from_hour) AS edge_end
        FROM composed AS c WHERE c.has_head
        UNION ALL
        SELECT c.number, c.device_id, c.is_register, c.every, c.capacity_kw, c.modulus_kwh, c.last_at, c.tail_from, c.ended
        FROM composed AS c WHERE c.tail_from < c.ended
    ), rest AS (
        SELECT j.number, j.energy, NULL::interval AS covered, NULL::timestamptz AS first_at,
               NULL::timestamptz AS last_at, j.previous_at
        FROM joint AS j WHERE j.is_in_span
        UNION ALL
        SELECT i.number, i.energy, least(i.every, i.recorded_at - i.previous_at), i.recorded_at, i.recorded_at, i.previous_at
        FROM (
            SELECT e.number, e.every, r.*
            FROM edge AS e
            CROSS JOIN LATERAL (
                -- Where the one before is not known it is more than an interval ago, or before the span.
                SELECT reading.recorded_at, round(reading.kwh * 1e9)::bigint AS energy,
                       lag(reading.recorded_at, 1, e.previous_at) OVER (ORDER BY reading.recorded_at) AS previous_at
                FROM reading
                WHERE reading.stream = of_stream AND reading.device_id = e.device_id
                  AND reading.recorded_at > e.edge_start AND reading.recorded_at <= e.edge_end
            ) AS r
            WHERE NOT e.is_register
        ) AS i
        UNION ALL
        SELECT g.number, (g.state).energy, NULL, g.recorded_at, g.recorded_at, g.previous_at
        FROM (
            SELECT e.number, e.edge_start, r.*
            FROM edge AS e
            CROSS JOIN LATERAL (
                SELECT one.recorded_at, lag(one.recorded_at) OVER (ORDER BY one.recorded_at) AS previous_at,
                       register(one.kwh, one.recorded_at, e.capacity_kw, e.modulus_kwh)
                           OVER (ORDER BY one.recorded_at) AS state
                FROM (
                    SELECT last.* FROM last_reading(of_stream, e.device_id, e.edge_start) AS last
                    UNION ALL
                    SELECT reading.recorded_at, reading.kwh FROM reading
                    WHERE reading.stream = of_stream AND reading.device_id = e.device_id
                      AND reading.recorded_at > e.edge_start AND reading.recorded_at <= e.edge_end
                ) AS one
            ) AS r
            WHERE e.is_register
        ) AS g
        WHERE g.recorded_at > g.edge_start
    ), more AS (
        SELECT rest.number, sum(rest.energy) AS energy, sum(rest.covered) AS covered,
               min(rest.first_at) AS first_at, max(rest.last_at) AS last_at, min(rest.previous_at) AS previous_at
        FROM rest
        GROUP BY rest.number
    )
    SELECT t.number, t.energy,
           CASE WHEN t.first_at IS NULL THEN interval '0'
                WHEN t.is_register THEN t.last_at - greatest(t.began, coalesce(t.previous_at, t.first_at))
                -- The first one goes back to the span's beginning at the most.
                ELSE t.covered - least(t.every, t.first_at - t.previous_at)
                     + least(t.every, t.first_at - greatest(t.began, t.previous_at)) END
    FROM (
        SELECT c.number, c.began, c.every, c.is_register,
               coalesce(c.energy, 0) + coalesce(m.energy, 0) AS energy,
               coalesce(c.covered::float8, 0) * interval '1 microsecond' + coalesce(m.covered, '0') AS covered,
               least(c.first_at, m.first_at) AS first_at, greatest(c.last_at, m.last_at) AS last_at,
               -- That of the span's first reading; one in the span is of a later reading.
               CASE WHEN least(c.previous_at, m.previous_at) < least(c.first_at, m.first_at)
                    THEN least(c.previous_at, m.previous_at) END AS previous_at
        FROM composed AS c
        LEFT JOIN more AS m USING (number)
    ) AS t
    UNION ALL
    SELECT l.number, coalesce(raw.energy, 0), coalesce(raw.covered, '0')
    FROM left_over AS l
    CROSS JOIN LATERAL (
        -- What the functions of one device say. They are planned anew for each, and devices may be many.
        SELECT sum(round(i.kwh * 1e9)::bigint) AS energy,
               sum(i.recorded_at - greatest(l.began, i.previous_at, i.recorded_at - l.every)) AS covered
        FROM (
            SELECT reading.recorded_at, reading.kwh, lag(reading.recorded_at) OVER (ORDER BY reading.recorded_at) AS previous_at
            FROM reading
            WHERE reading.stream = of_stream AND reading.device_id = l.device_id
              AND reading.recorded_at > l.began AND reading.recorded_at <= l.ended
        ) AS i
    ) AS raw
    WHERE NOT l.is_register
    UNION ALL
    SELECT l.number, coalesce(sum(c.energy), 0),
           coalesce(max(c.recorded_at) - min(greatest(l.began, coalesce(c.previous_at, c.recorded_at)))
                                         FILTER (WHERE c.recorded_at IS NOT NULL), '0')
    FROM left_over AS l
    -- By the hour, or each span would be compared with each reading.
    LEFT JOIN LATERAL generate_series(floor(date_part('epoch', l.began) / 3600)::integer,
                                      floor(date_part('epoch', l.ended) / 3600)::integer) AS hour ON true
    LEFT JOIN counted AS c ON c.device_id = l.device_id AND c.hour = hour.hour
        AND c.recorded_at > l.began AND c.recorded_at <= l.ended
    WHERE l.is_register
    GROUP BY l.number;
END
$$;
