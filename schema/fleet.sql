-- How well each vehicle of the fleet was charged.

-- Raises WL001 where what is noted takes longer to read from history than a statement may take: it would
-- only be found out at the end. Where statements may take for ever, nothing is refused.
CREATE OR REPLACE FUNCTION check_notes(window_start timestamptz, window_end timestamptz) RETURNS void
LANGUAGE plpgsql STABLE SET timezone = 'UTC' AS $$
DECLARE
    -- So many readings a second, about, and so many pairs of a note. What is registered is believed down to
    -- a reading a second: one device alone could keep the fleet's answers away.
    most    CONSTANT bigint := 250000 * date_part('epoch', current_setting('statement_timeout')::interval);
    longest CONSTANT integer := ceil(date_part('epoch', window_end - window_start) / 3600);
    noted   bigint;
BEGIN
    SELECT coalesce(sum(pairs), 0) INTO noted FROM rollup_due;
    IF most = 0 OR noted * longest * 60 <= most THEN
        RETURN;
    END IF;
    IF noted <= most THEN
        SELECT coalesce(sum(hours_noted * 3600 / greatest(coalesce(m.reading_interval_seconds, v.reading_interval_seconds, 60), 1)), 0)
        INTO noted
        FROM (
            SELECT due.stream, pair.device_id,
                   least(longest, ceil(date_part('epoch', window_end) / 3600) - min(pair.hour)) AS hours_noted
            FROM rollup_due AS due, unnest(due.devices, due.hours) AS pair (device_id, hour)
            WHERE pair.hour >= (window_start::date - 1 - date '1970-01-01') * 24
              AND pair.hour < ceil(date_part('epoch', window_end) / 3600)
            GROUP BY 1, 2
        ) AS dirty
        LEFT JOIN meter AS m ON dirty.stream = 'meter' AND m.meter_id = dirty.device_id
        LEFT JOIN vehicle AS v ON dirty.stream = 'vehicle' AND v.vehicle_id = dirty.device_id;
    END IF;
    IF noted > most THEN
        RAISE EXCEPTION USING ERRCODE = 'WL001', MESSAGE = 'too much is noted and not rolled up yet';
    END IF;
END
$$;

-- What vehicle_performance says, of every vehicle that is registered or was ever heard of, without hours
-- and meters.
CREATE OR REPLACE FUNCTION fleet_performance(window_start timestamptz, window_end timestamptz)
RETURNS TABLE (
    vehicle_id text, status text, ac_kwh double precision, dc_kwh double precision,
    ratio double precision, percentage numeric,
    vehicle_coverage double precision, meter_coverage double precision
) LANGUAGE plpgsql STABLE SET plan_cache_mode = force_custom_plan SET timezone = 'UTC' AS $$
DECLARE
    vehicles text[];
    -- The times for which meters charged vehicles, by their place in these.
    charged  text[];
    by_meter text[];
    starts   timestamptz[];
    ends     timestamptz[];
BEGIN
    PERFORM check_notes(window_start, window_end);
    SELECT coalesce(array_agg(known.vehicle_id), '{}') INTO vehicles
    FROM (SELECT v.vehicle_id FROM vehicle AS v UNION SELECT c.vehicle_id FROM vehicle_current_state AS c) AS known;

    WITH bond AS MATERIALIZED (
        SELECT row_number() OVER () AS number, b.*
        FROM (
            SELECT a.vehicle_id, a.meter_id, false AS is_session,
                   a.during * tstzrange(window_start, window_end, '(]') AS during,
                   a.during @> tstzrange(window_start, window_end, '(]') AS is_whole
            FROM vehicle_meter_assignment AS a
            WHERE a.during && tstzrange(window_start, window_end, '(]')
            UNION ALL
            SELECT c.vehicle_id, c.meter_id, true, c.during * tstzrange(window_start, window_end, '(]'), false
            FROM charging_session AS c
            WHERE c.during && tstzrange(window_start, window_end, '(]')
        ) AS b
    ), own AS (
        -- A meter that charged one vehicle only.
        SELECT b.meter_id FROM bond AS b GROUP BY b.meter_id HAVING min(b.vehicle_id) = max(b.vehicle_id)
    ), simple AS MATERIALIZED (
        -- One meter throughout, which charged nothing else.
        SELECT b.vehicle_id, min(b.meter_id) AS meter_id
        FROM bond AS b
        LEFT JOIN own USING (meter_id)
        GROUP BY b.vehicle_id
        HAVING bool_or(b.is_whole) AND min(b.meter_id) = max(b.meter_id) AND bool_and(own.meter_id IS NOT NULL)
    ), tied AS MATERIALIZED (
        SELECT b.* FROM bond AS b WHERE b.vehicle_id NOT IN (SELECT s.vehicle_id FROM simple AS s)
    ), slice AS (
        -- What `vehicle_meters` says of one vehicle, of all: from one beginning or end of a meter's bonds to
        -- the next, which session ran, and how many vehicles were assigned. The sum of the numbers of
        -- those is the number of the one that is.
        SELECT e.meter_id, e.at AS began, lead(e.at) OVER in_time AS ended, sum(e.session) OVER in_time AS session,
               sum(e.assigned) OVER in_time AS assigned, sum(e.vehicles) OVER in_time AS vehicles
        FROM (
            SELECT edge.meter_id, edge.at,
                   coalesce(sum(edge.sign * edge.number) FILTER (WHERE edge.is_session), 0) AS session,
                   coalesce(sum(edge.sign * edge.number) FILTER (WHERE NOT edge.is_session), 0) AS assigned,
                   coalesce(sum(edge.sign) FILTER (WHERE NOT edge.is_session), 0) AS vehicles
            FROM (
                SELECT t.meter_id, lower(t.during) AS at, 1 AS sign, t.number, t.is_session FROM tied AS t
                UNION ALL
                SELECT t.meter_id, upper(t.during), -1, t.number, t.is_session FROM tied AS t
            ) AS edge
            GROUP BY edge.meter_id, edge.at
        ) AS e
        WINDOW in_time AS (PARTITION BY e.meter_id ORDER BY e.at)
    ), served AS (
        -- A meter that charged it at no time is one nevertheless.
        SELECT named.vehicle_id, named.meter_id, range_agg(named.during) AS charged
        FROM (
            -- Not by a join: it would be a loop, see above.
            SELECT one.meter_id, one.during, max(one.vehicle_id) OVER (PARTITION BY one.number) AS vehicle_id
            FROM (
                SELECT t.number, t.vehicle_id, t.meter_id, NULL::tstzrange AS during FROM tied AS t
                UNION ALL
                SELECT (CASE WHEN s.session <> 0 THEN s.session ELSE s.assigned END)::bigint, NULL, s.meter_id,
                       tstzrange(s.began, s.ended, '(]')
                FROM slice AS s
                WHERE s.session <> 0 OR s.vehicles = 1
            ) AS one
        ) AS named
        GROUP BY 1, 2
    )
    SELECT array_agg(m.vehicle_id), array_agg(m.meter_id), array_agg(lower(m.during)), array_agg(upper(m.during))
    INTO charged, by_meter, starts, ends
    FROM (
        SELECT s.vehicle_id, s.meter_id, tstzrange(window_start, window_end, '(]') AS during FROM simple AS s
        UNION ALL
        SELECT served.vehicle_id, served.meter_id, during
        FROM served
        LEFT JOIN LATERAL unnest(served.charged) AS during ON true
    ) AS m;

    RETURN QUERY
    WITH span AS MATERIALIZED (
        SELECT 'meter' AS stream, * FROM span_energy('meter', window_start, window_end, by_meter, starts, ends)
        UNION ALL
        SELECT 'vehicle', * FROM span_energy(
            'vehicle', window_start, window_end, vehicles,
            array_fill(window_start, ARRAY[cardinality(vehicles)]), array_fill(window_end, ARRAY[cardinality(vehicles)]))
    ), ac AS (
        SELECT asked.vehicle_id, sum(span.energy) AS energy, sum(span.covered) AS covered,
               sum(asked.ended - asked.began) AS asked
        FROM unnest(charged, starts, ends) WITH ORDINALITY AS asked (vehicle_id, began, ended, number)
        LEFT JOIN span ON span.stream = 'meter' AND span.number = asked.number
        GROUP BY asked.vehicle_id
    ), summed AS (
        SELECT k.vehicle_id, ac.vehicle_id IS NOT NULL AS has_meter,
               coalesce(ac.energy, 0) AS ac, coalesce(dc.energy, 0) AS dc,
               coalesce(share_of(dc.covered, window_end - window_start), 0) AS vehicle_coverage,
               coalesce(share_of(ac.covered, ac.asked), 0) AS meter_coverage
        FROM unnest(vehicles) WITH ORDINALITY AS k (vehicle_id, number)
        LEFT JOIN ac USING (vehicle_id)
        LEFT JOIN span AS dc ON dc.stream = 'vehicle' AND dc.number = k.number
    )
    SELECT t.vehicle_id,
           performance_status(t.ac, t.dc, t.vehicle_coverage, t.meter_coverage, t.has_meter),
           t.ac::float8 / 1e9, t.dc::float8 / 1e9, t.dc::float8 / nullif(t.ac::float8, 0),
           round(100 * t.dc / nullif(t.ac, 0), 1), t.vehicle_coverage, t.meter_coverage
    FROM summed AS t;
END
$$;
