-- How well a vehicle was charged.

-- The share of one length of time in another. Exact microseconds, divided once.
CREATE OR REPLACE FUNCTION share_of(part interval, whole interval) RETURNS double precision
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN round(date_part('epoch', part) * 1e6) / round(date_part('epoch', whole) * 1e6);

-- What the energies of a window come to, in nanokilowatt-hours. Bands are half open, and decided before
-- anything is rounded.
CREATE OR REPLACE FUNCTION performance_status(
    ac numeric, dc numeric, vehicle_coverage double precision, meter_coverage double precision, has_meter boolean
) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE
        WHEN NOT has_meter THEN 'no_meter'
        WHEN ac < 1e8 OR vehicle_coverage < 0.5 OR meter_coverage < 0.5 THEN 'insufficient_data'
        WHEN dc > ac THEN 'implausible'
        WHEN dc >= 0.85 * ac THEN 'optimal'
        WHEN dc >= 0.75 * ac THEN 'degraded'
        ELSE 'critical'
    END
$$;

-- How well the vehicle was charged: the DC that it took over the AC that its meters drew, of all readings
-- stored by now. With a meter given, all energy of that one, whatever sessions and assignments say. In a
-- JSON array each: the meters with the times for which they are counted, and the window's UTC hours, whose
-- energies add up to the totals. A vehicle that nobody knows has no readings.
CREATE OR REPLACE FUNCTION vehicle_performance(
    of_vehicle text, window_start timestamptz, window_end timestamptz, of_meter text DEFAULT NULL
) RETURNS TABLE (
    ac_kwh double precision, dc_kwh double precision, loss_kwh double precision,
    ratio double precision, percentage numeric, status text,
    average_temperature_c double precision,
    vehicle_readings bigint, meter_readings bigint,
    vehicle_coverage double precision, meter_coverage double precision, reasons text[],
    sessions bigint, meters jsonb, hourly jsonb, as_of timestamptz
) LANGUAGE plpgsql STABLE SET plan_cache_mode = force_generic_plan SET timezone = 'UTC' AS $$
BEGIN
    -- Planned once a connection: it is as dear to plan as to run, and only the functions that it calls
    -- gain from knowing the window.
    RETURN QUERY
    WITH responsible AS MATERIALIZED (
        SELECT m.meter_id, m.charged, m.shared
        FROM vehicle_meters(of_vehicle, window_start, window_end) AS m
        WHERE of_meter IS NULL
        UNION ALL
        SELECT of_meter, tstzmultirange(tstzrange(window_start, window_end, '(]')), '{}'
        WHERE of_meter IS NOT NULL
    ), segment AS MATERIALIZED (
        SELECT r.meter_id, lower(during) AS began, upper(during) AS ended,
               coalesce(device.reading_kind, 'interval') AS kind,
               make_interval(secs => coalesce(device.reading_interval_seconds, 60)) AS every
        FROM responsible AS r
        CROSS JOIN unnest(r.charged) AS during
        LEFT JOIN meter AS device ON device.meter_id = r.meter_id
    ), drawn AS MATERIALIZED (
        -- Each meter once, however many segments are of it.
        SELECT one.meter_id, reading.*
        FROM (SELECT DISTINCT s.meter_id FROM segment AS s) AS one
        CROSS JOIN meter_energy(one.meter_id, window_start, window_end) AS reading
    ), meter_reading AS MATERIALIZED (
        SELECT segment.*, drawn.recorded_at, drawn.previous_at, drawn.energy, drawn.implausible
        FROM drawn
        JOIN segment ON segment.meter_id = drawn.meter_id
            AND drawn.recorded_at > segment.began AND drawn.recorded_at <= segment.ended
    ), meter_known AS (
        SELECT r.meter_id, r.began,
               CASE WHEN r.kind = 'interval'
                    THEN sum(r.recorded_at - greatest(r.began, r.previous_at, r.recorded_at - r.every))
                    ELSE max(r.recorded_at) - min(greatest(r.began, coalesce(r.previous_at, r.recorded_at)))
               END AS covered
        FROM meter_reading AS r
        GROUP BY r.meter_id, r.began, r.kind
    ), vehicle_reading AS MATERIALIZED (
        SELECT * FROM vehicle_energy(of_vehicle, window_start, window_end)
    ), vehicle_known AS (
        SELECT CASE WHEN device.reading_kind = 'register'
                    THEN max(v.recorded_at) - min(greatest(window_start, coalesce(v.previous_at, v.recorded_at)))
                    ELSE sum(v.recorded_at - greatest(window_start, v.previous_at,
                             v.recorded_at - make_interval(secs => coalesce(device.reading_interval_seconds, 60))))
               END AS covered
        FROM vehicle_reading AS v
        LEFT JOIN vehicle AS device ON device.vehicle_id = of_vehicle
        GROUP BY device.reading_kind
    ), hour AS (
        SELECT greatest(began, window_start) AS began, least(began + interval '1 hour', window_end) AS ended,
               coalesce(ac.energy, 0) AS ac, coalesce(dc.energy, 0) AS dc,
               dc.temperature, coalesce(dc.readings, 0) AS readings
        FROM generate_series(date_trunc('hour', window_start, 'UTC'), window_end - interval '1 microsecond',
                             interval '1 hour') AS began
        LEFT JOIN (
            SELECT date_trunc('hour', r.recorded_at - interval '1 microsecond', 'UTC') AS began,
                   sum(r.energy) AS energy
            FROM meter_reading AS r GROUP BY 1
        ) AS ac USING (began)
        LEFT JOIN (
            SELECT date_trunc('hour', v.recorded_at - interval '1 microsecond', 'UTC') AS began,
                   sum(v.energy) AS energy, avg(v.battery_temp) AS temperature, count(*) AS readings
            FROM vehicle_reading AS v GROUP BY 1
        ) AS dc USING (began)
    ), total AS (
        SELECT sum(h.ac) AS ac, sum(h.dc) AS dc,
               -- Added in the order of the hours, as whoever checks it would.
               sum(h.ac::float8 / 1e9 ORDER BY h.began) AS ac_kwh,
               sum(h.dc::float8 / 1e9 ORDER BY h.began) AS dc_kwh,
               jsonb_agg(jsonb_build_object(
                   'start', h.began, 'end', h.ended,
                   'ac_kwh', h.ac::float8 / 1e9, 'dc_kwh', h.dc::float8 / 1e9,
                   'ratio', h.dc::float8 / nullif(h.ac::float8, 0),
                   'average_temperature_c', h.temperature, 'readings', h.readings
               ) ORDER BY h.began) AS hourly
        FROM hour AS h
    ), quality AS (
        SELECT (SELECT count(*) FROM vehicle_reading) AS vehicle_readings,
               (SELECT count(*) FROM meter_reading) AS meter_readings,
               coalesce(share_of((SELECT covered FROM vehicle_known), window_end - window_start), 0) AS vehicle_coverage,
               coalesce(share_of((SELECT sum(covered) FROM meter_known),
                                 (SELECT sum(ended - began) FROM segment)), 0) AS meter_coverage,
               EXISTS (SELECT FROM responsible) AS has_meter,
               EXISTS (SELECT FROM responsible AS r WHERE NOT isempty(r.shared)) AS shares,
               EXISTS (SELECT FROM meter_reading AS r WHERE r.implausible)
                   OR EXISTS (SELECT FROM vehicle_reading AS v WHERE v.implausible) AS jumps
    )
    SELECT total.ac_kwh, total.dc_kwh, total.ac_kwh - total.dc_kwh,
           total.dc::float8 / nullif(total.ac::float8, 0),
           round(100 * total.dc / nullif(total.ac, 0), 1),
           performance_status(total.ac, total.dc, quality.vehicle_coverage, quality.meter_coverage,
                              quality.has_meter),
           (SELECT avg(v.battery_temp) FROM vehicle_reading AS v),
           quality.vehicle_readings, quality.meter_readings,
           quality.vehicle_coverage, quality.meter_coverage,
           array_remove(ARRAY[
               CASE WHEN quality.shares THEN 'shared_meter' END,
               CASE WHEN quality.jumps THEN 'implausible_jump' END
           ], NULL),
           (SELECT count(*) FROM charging_session AS session
            WHERE exactly(session.vehicle_id) = exactly(of_vehicle)
              AND session.during && tstzrange(window_start, window_end, '(]')),
           coalesce((SELECT jsonb_agg(jsonb_build_object(
                'meter_id', s.meter_id, 'start', s.began, 'end', s.ended) ORDER BY s.began, s.meter_id)
            FROM segment AS s), '[]'),
           total.hourly,
           statement_timestamp()
    FROM total CROSS JOIN quality;
END
$$;
