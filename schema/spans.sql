-- The energy and coverage of spans of time: from rollups as far as possible, otherwise from history.

-- The first noted hour of each device: from there on its readings must be taken from history. Notes about the
-- day before count too, because a day's first reading is compared with the one before it.
CREATE OR REPLACE FUNCTION noted_hours(of_stream text, first_day date)
RETURNS TABLE (device_id text, hour integer) LANGUAGE sql STABLE AS $$
    SELECT pair.device_id, min(pair.hour)
    FROM rollup_due AS due, unnest(due.devices, due.hours) AS pair (device_id, hour)
    WHERE due.stream = of_stream AND pair.hour >= midnight_hour(first_day - 1)
    GROUP BY pair.device_id
$$;

-- The spans that were asked for, with the registration of their devices. Rollups may be trusted up to
-- `clean_until`. `from_hour` to `until_hour` are the whole hours until then; `has_head`: the span begins
-- before them; `is_rolled`: there are any.
CREATE OR REPLACE FUNCTION asked_spans(
    of_stream text, first_day date, devices text[], starts timestamptz[], ends timestamptz[]
) RETURNS TABLE (
    number bigint, device_id text, began timestamptz, ended timestamptz,
    is_register boolean, every interval, capacity_kw double precision, modulus_kwh double precision,
    clean_until timestamptz, is_clean boolean,
    from_hour integer, until_hour integer, has_head boolean, is_rolled boolean
) LANGUAGE sql STABLE AS $$
    SELECT span.number, span.device_id, span.began, span.ended,
           span.is_register, span.every, span.capacity_kw, span.modulus_kwh,
           span.clean_until, span.is_clean,
           ceil(hours.began)::integer, floor(hours.clean_until)::integer, ceil(hours.began) > hours.began,
           (span.is_register OR span.every <= interval '1 hour') AND ceil(hours.began) < hours.clean_until
    FROM (
        SELECT asked.number, asked.device_id, asked.began, asked.ended,
               coalesce(meter.reading_kind, vehicle.reading_kind) IS NOT DISTINCT FROM 'register' AS is_register,
               make_interval(secs => coalesce(meter.reading_interval_seconds, vehicle.reading_interval_seconds, 60)) AS every,
               meter.capacity_kw, meter.register_modulus_kwh AS modulus_kwh,
               least(asked.ended, time_of_hour(noted.hour)) AS clean_until,
               coalesce(time_of_hour(noted.hour) >= asked.ended, true) AS is_clean
        FROM unnest(devices, starts, ends) WITH ORDINALITY AS asked (device_id, began, ended, number)
        -- Not the view `device`: the planner cannot tell that it has at most one row for a device.
        LEFT JOIN meter ON of_stream = 'meter' AND meter.meter_id = asked.device_id
        LEFT JOIN vehicle ON of_stream = 'vehicle' AND vehicle.vehicle_id = asked.device_id
        LEFT JOIN noted_hours(of_stream, first_day) AS noted ON noted.device_id = asked.device_id
    ) AS span
    CROSS JOIN LATERAL (SELECT hours_since_1970(span.began) AS began,
                               hours_since_1970(span.clean_until) AS clean_until) AS hours
$$;

-- What a device's rollup of a day says about the hours between two boundaries: energy, covered microseconds,
-- first and last reading, and the reading before the first, if it is known. That one is of the same day
-- (`before_is_today`), or of the last hour of the day before.
CREATE OR REPLACE FUNCTION rollup_between(rollup energy_rollup, low integer, high integer)
RETURNS TABLE (
    energy bigint, covered bigint, first_at timestamptz, last_at timestamptz, previous_at timestamptz,
    before_is_today boolean
) LANGUAGE sql STABLE AS $$
    SELECT rollup.energy[high + 1] - rollup.energy[low + 1],
           rollup.covered[high + 1] - rollup.covered[low + 1],
           rollup.first_after[low + 1],
           rollup.last_at[high + 1],
           coalesce(rollup.last_at[low + 1], rollup.before_at),
           rollup.last_at[low + 1] IS NOT NULL
$$;

-- The days from `first_day` to `last_day` on which a device that is not rolled up may have readings.
CREATE OR REPLACE FUNCTION open_days(of_stream text, first_day date, last_day date) RETURNS date[]
LANGUAGE sql STABLE AS $$
    SELECT ARRAY(
        SELECT asked.day::date
        FROM generate_series(first_day, last_day, interval '1 day') AS asked (day)
        WHERE NOT EXISTS (SELECT FROM rollup_day AS complete
                          WHERE complete.stream = of_stream AND complete.day = asked.day::date
                            AND complete.done_to IS NULL)
          AND has_readings(of_stream, asked.day::date)
        ORDER BY 1)
$$;

-- All spans that were asked for. If rollups can serve a span (`is_composed`), its energy and coverage come from
-- them for the whole hours, from history at the edges, and from what registers gained between two days.
-- Otherwise its energy and coverage mean nothing, and `span_energy` reads history.
CREATE OR REPLACE FUNCTION composed_spans(
    of_stream text, window_start timestamptz, window_end timestamptz,
    devices text[], starts timestamptz[], ends timestamptz[]
) RETURNS TABLE (
    number bigint, device_id text, began timestamptz, ended timestamptz, is_register boolean, every interval,
    is_composed boolean, energy numeric, covered interval
) LANGUAGE plpgsql STABLE SET plan_cache_mode = force_custom_plan SET work_mem = '8MB' SET timezone = 'UTC' AS $$
DECLARE
    first_day CONSTANT date := window_start::date;
    last_day  CONSTANT date := (window_end - interval '1 microsecond')::date;
    open      CONSTANT date[] := open_days(of_stream, first_day, last_day);
BEGIN
    RETURN QUERY
    WITH span AS MATERIALIZED (
        SELECT * FROM asked_spans(of_stream, first_day, devices, starts, ends)
    ), rolled_day AS NOT MATERIALIZED (
        SELECT span.number, span.device_id, span.is_register, span.capacity_kw, span.modulus_kwh, span.clean_until,
               rollup.day, rollup.first_value, rollup.first_after[1] AS day_first_at, part.*,
               is_rolled_as(rollup, span.is_register, span.every, span.capacity_kw, span.modulus_kwh)
                   AND NOT rollup.is_held AND rollup.energy[25] IS NOT NULL AS is_good,
               -- The hour at which the span's rollups end, if that is within this day.
               CASE WHEN edge.high < 24 AND midnight_hour(rollup.day) <= span.until_hour THEN span.until_hour END AS cut_hour
        FROM span
        JOIN energy_rollup AS rollup ON rollup.stream = of_stream AND rollup.device_id = span.device_id
            AND rollup.day BETWEEN first_day AND last_day
        CROSS JOIN LATERAL (
            -- Of days outside the span nothing counts: both are 24 before it, and 0 after it.
            SELECT least(24, greatest(0, span.from_hour - midnight_hour(rollup.day))) AS low,
                   CASE WHEN span.until_hour - midnight_hour(rollup.day) >= 24
                             OR span.is_clean AND rollup.last_at[25] <= span.clean_until THEN 24
                        ELSE greatest(0, span.until_hour - midnight_hour(rollup.day)) END AS high
        ) AS edge
        CROSS JOIN LATERAL rollup_between(rollup, edge.low, edge.high) AS part
        WHERE span.is_rolled
    ), rolled AS MATERIALIZED (
        SELECT rolled_day.number, bool_and(rolled_day.is_good) AS is_good,
               sum(rolled_day.energy) AS energy, sum(rolled_day.covered) AS covered,
               min(rolled_day.first_at) FILTER (WHERE rolled_day.first_at <= rolled_day.last_at) AS first_at,
               max(rolled_day.last_at) AS last_at,
               min(rolled_day.previous_at) FILTER (WHERE rolled_day.first_at <= rolled_day.last_at) AS previous_at,
               max(rolled_day.cut_hour) AS cut_hour,
               count(*) FILTER (WHERE rolled_day.day = ANY (open)) AS open_rolled, max(rolled_day.day) AS last_day
        FROM rolled_day
        GROUP BY rolled_day.number
    ), joint AS MATERIALIZED (
        -- What a register gained from its last reading before a day to the first one of the day. If that leaves
        -- it below its baseline, rollups cannot serve the span. That holds for days before the span too,
        -- because the comparison begins with the window.
        SELECT rolled_day.number, before.recorded_at AS previous_at, (step.state).energy,
               (step.state).baseline IS NOT DISTINCT FROM rolled_day.first_value OR before.recorded_at IS NULL AS is_good,
               NOT rolled_day.before_is_today AND rolled_day.first_at <= rolled_day.last_at AS is_in_span
        FROM rolled_day
        LEFT JOIN energy_rollup AS yesterday ON yesterday.stream = of_stream
            AND yesterday.device_id = rolled_day.device_id AND yesterday.day = rolled_day.day - 1
        LEFT JOIN LATERAL (
            SELECT yesterday.last_at[25] AS recorded_at, yesterday.last_value AS kwh WHERE yesterday.is_register
            UNION ALL
            SELECT last.* FROM last_reading(of_stream, rolled_day.device_id, rolled_day.day::timestamptz) AS last
            WHERE yesterday.is_register IS NOT TRUE
        ) AS before ON true
        CROSS JOIN LATERAL (
            SELECT register_step(ROW(before.kwh, before.recorded_at, 0, false)::register_state, rolled_day.first_value,
                                 rolled_day.day_first_at, rolled_day.capacity_kw, rolled_day.modulus_kwh) AS state
        ) AS step
        WHERE rolled_day.is_register
          AND rolled_day.day_first_at > window_start AND rolled_day.day_first_at <= rolled_day.clean_until
    ), composed AS MATERIALIZED (
        SELECT span.*, rolled.energy, rolled.covered, rolled.first_at, rolled.last_at, rolled.previous_at,
               -- From here on, history is read.
               least(CASE WHEN NOT span.is_clean THEN span.clean_until ELSE time_of_hour(rolled.cut_hour) END,
                     missing.day::timestamptz) AS tail_from
        FROM span
        LEFT JOIN rolled USING (number)
        -- The first day that must come from history. No later day may come from rollups.
        CROSS JOIN LATERAL (SELECT open[coalesce(rolled.open_rolled, 0) + 1] AS day) AS missing
        WHERE span.is_rolled AND rolled.is_good IS NOT FALSE
          AND (missing.day IS NULL OR span.from_hour < midnight_hour(missing.day)
                                      AND (rolled.last_day IS NULL OR rolled.last_day < missing.day))
          -- Not NOT EXISTS, here and below: the planner expects few rows, and would make a nested loop of it.
          AND span.number NOT IN (SELECT joint.number FROM joint WHERE NOT joint.is_good)
    ), edge AS (
        -- If the reading before is not known, it is more than an interval ago, or before the span.
        SELECT composed.number, composed.device_id, composed.is_register, composed.every, composed.capacity_kw,
               composed.modulus_kwh, NULL::timestamptz AS previous_at,
               composed.began AS after, time_of_hour(composed.from_hour) AS until
        FROM composed WHERE composed.has_head
        UNION ALL
        SELECT composed.number, composed.device_id, composed.is_register, composed.every, composed.capacity_kw,
               composed.modulus_kwh, composed.last_at, composed.tail_from, composed.ended
        FROM composed WHERE composed.tail_from < composed.ended
    ), added AS (
        SELECT part.number, sum(part.energy) AS energy, sum(part.covered) AS covered,
               min(part.first_at) AS first_at, max(part.last_at) AS last_at, min(part.previous_at) AS previous_at
        FROM (
            SELECT joint.number, joint.energy, NULL::interval AS covered, NULL::timestamptz AS first_at,
                   NULL::timestamptz AS last_at, joint.previous_at
            FROM joint WHERE joint.is_in_span
            UNION ALL
            SELECT edge.number, one.energy,
                   one.recorded_at - covered_from(false, edge.every, one.previous_at, one.recorded_at),
                   one.recorded_at, one.recorded_at, one.previous_at
            FROM edge
            CROSS JOIN LATERAL interval_readings(
                of_stream, edge.device_id, edge.after, edge.until, edge.previous_at) AS one
            WHERE NOT edge.is_register
            UNION ALL
            SELECT edge.number, one.energy, NULL, one.recorded_at, one.recorded_at, one.previous_at
            FROM edge
            CROSS JOIN LATERAL register_readings(
                of_stream, edge.device_id, edge.after, edge.until, edge.capacity_kw, edge.modulus_kwh) AS one
            WHERE edge.is_register
        ) AS part
        GROUP BY part.number
    ), total AS (
        SELECT composed.number,
               coalesce(composed.energy, 0) + coalesce(added.energy, 0) AS energy,
               coalesce(composed.covered::float8, 0) * interval '1 microsecond' + coalesce(added.covered, '0') AS covered,
               least(composed.first_at, added.first_at) AS first_at,
               greatest(composed.last_at, added.last_at) AS last_at,
               -- The reading before the span's first one. If it lies in the span, it belongs to a later reading.
               CASE WHEN least(composed.previous_at, added.previous_at) < least(composed.first_at, added.first_at)
                    THEN least(composed.previous_at, added.previous_at) END AS previous_at
        FROM composed
        LEFT JOIN added USING (number)
    )
    SELECT span.number, span.device_id, span.began, span.ended, span.is_register, span.every,
           total.number IS NOT NULL, total.energy,
           CASE WHEN total.first_at IS NULL THEN interval '0'
                WHEN span.is_register
                THEN total.last_at - covered_from(true, span.every, total.previous_at, total.first_at, span.began)
                -- Less what the first reading covers before the span.
                ELSE total.covered - (covered_from(false, span.every, total.previous_at, total.first_at, span.began)
                                      - covered_from(false, span.every, total.previous_at, total.first_at)) END
    FROM span
    LEFT JOIN total USING (number);
END
$$;

-- For each of some spans of a window: the energy of its device in nanokilowatt-hours, and for how long
-- something is known about it. Spans are numbered from 1, by their place in the three arrays. A span without
-- times has no energy.
CREATE OR REPLACE FUNCTION span_energy(
    of_stream text, window_start timestamptz, window_end timestamptz,
    devices text[], starts timestamptz[], ends timestamptz[]
) RETURNS TABLE (number bigint, energy numeric, covered interval)
LANGUAGE plpgsql STABLE SET plan_cache_mode = force_custom_plan SET work_mem = '8MB' SET timezone = 'UTC' AS $$
BEGIN
    RETURN QUERY
    WITH span AS MATERIALIZED (
        SELECT * FROM composed_spans(of_stream, window_start, window_end, devices, starts, ends)
    ), counted AS MATERIALIZED (
        -- Each register is read once, however many spans it has.
        SELECT one.device_id, worth.*
        FROM (SELECT DISTINCT span.device_id FROM span WHERE span.is_register AND NOT span.is_composed) AS one
        CROSS JOIN LATERAL device_energy(of_stream, one.device_id, window_start, window_end) AS worth
    )
    SELECT span.number, span.energy, span.covered FROM span WHERE span.is_composed
    UNION ALL
    -- Not `device_energy`: it would be planned again for each of many devices.
    SELECT span.number, coalesce(raw.energy, 0), coalesce(raw.covered, '0')
    FROM span
    CROSS JOIN LATERAL (
        SELECT sum(one.energy) AS energy,
               sum(one.recorded_at - covered_from(false, span.every, one.previous_at, one.recorded_at, span.began)) AS covered
        FROM interval_readings(of_stream, span.device_id, span.began, span.ended, NULL) AS one
    ) AS raw
    WHERE NOT span.is_composed AND NOT span.is_register
    UNION ALL
    SELECT span.number, coalesce(sum(counted.energy), 0),
           coalesce(sum(counted.recorded_at
                        - covered_from(true, span.every, counted.previous_at, counted.recorded_at, span.began)), '0')
    FROM span
    -- Joined by the hour, or each span would be compared with each reading.
    LEFT JOIN LATERAL generate_series(floor(hours_since_1970(span.began))::integer,
                                      floor(hours_since_1970(span.ended))::integer) AS hour ON true
    LEFT JOIN counted ON counted.device_id = span.device_id AND counted.hour = hour.hour
        AND counted.recorded_at > span.began AND counted.recorded_at <= span.ended
    WHERE NOT span.is_composed AND span.is_register
    GROUP BY span.number;
END
$$;
