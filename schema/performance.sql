-- How well a vehicle was charged.

-- The share of one length of time in another, computed from whole microseconds.
CREATE OR REPLACE FUNCTION share_of(part interval, whole interval) RETURNS double precision
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN round(date_part('epoch', part) * 1e6) / round(date_part('epoch', whole) * 1e6);

-- The status that follows from the energies (nanokilowatt-hours) and coverages of a window. Bands are half
-- open, and decided before anything is rounded.
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
-- stored by now. If `of_meter` is given, all energy of that meter counts, whatever sessions and assignments
-- say. `meters` is a JSON array of the times for which meters are counted, `hourly` one of the window's UTC
-- hours, whose energies add up to the totals. An unknown vehicle has no readings.
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
    -- Planned once for each connection: planning it takes as long as running it, and only the functions that
    -- it calls gain from knowing the window.
    RETURN QUERY
    WITH responsible AS MATERIALIZED (
        SELECT mine.meter_id, mine.charged, mine.shared
        FROM vehicle_meters(of_vehicle, window_start, window_end) AS mine
        WHERE of_meter IS NULL
        UNION ALL
        SELECT of_meter, tstzmultirange(tstzrange(window_start, window_end, '(]')), '{}'
        WHERE of_meter IS NOT NULL
    ), segment AS MATERIALIZED (
        SELECT responsible.meter_id, lower(during) AS began, upper(during) AS ended,
               device.reading_kind IS NOT DISTINCT FROM 'register' AS is_register,
               make_interval(secs => coalesce(device.reading_interval_seconds, 60)) AS every
        FROM responsible
        CROSS JOIN unnest(responsible.charged) AS during
        LEFT JOIN meter AS device ON device.meter_id = responsible.meter_id
    ), drawn AS MATERIALIZED (
        -- Each meter is read once, however many segments it has.
        SELECT one.meter_id, reading.*
        FROM (SELECT DISTINCT segment.meter_id FROM segment) AS one
        CROSS JOIN meter_energy(one.meter_id, window_start, window_end) AS reading
    ), meter_reading AS MATERIALIZED (
        SELECT segment.*, drawn.recorded_at, drawn.previous_at, drawn.energy, drawn.implausible
        FROM drawn
        JOIN segment ON segment.meter_id = drawn.meter_id
            AND drawn.recorded_at > segment.began AND drawn.recorded_at <= segment.ended
    ), meter_known AS (
        SELECT sum(reading.recorded_at - covered_from(reading.is_register, reading.every, reading.previous_at,
                                                      reading.recorded_at, reading.began)) AS covered
        FROM meter_reading AS reading
    ), vehicle_reading AS MATERIALIZED (
        SELECT * FROM vehicle_energy(of_vehicle, window_start, window_end)
    ), vehicle_known AS (
        SELECT sum(reading.recorded_at - covered_from(
                   device.reading_kind IS NOT DISTINCT FROM 'register',
                   make_interval(secs => coalesce(device.reading_interval_seconds, 60)),
                   reading.previous_at, reading.recorded_at, window_start)) AS covered
        FROM vehicle_reading AS reading
        LEFT JOIN vehicle AS device ON device.vehicle_id = of_vehicle
    ), hour AS (
        SELECT greatest(began, window_start) AS began, least(began + interval '1 hour', window_end) AS ended,
               coalesce(ac.energy, 0) AS ac, coalesce(dc.energy, 0) AS dc,
               dc.temperature, coalesce(dc.readings, 0) AS readings
        FROM generate_series(date_trunc('hour', window_start, 'UTC'), window_end - interval '1 microsecond',
                             interval '1 hour') AS began
        LEFT JOIN (
            SELECT date_trunc('hour', reading.recorded_at - interval '1 microsecond', 'UTC') AS began,
                   sum(reading.energy) AS energy
            FROM meter_reading AS reading GROUP BY 1
        ) AS ac USING (began)
        LEFT JOIN (
            SELECT date_trunc('hour', reading.recorded_at - interval '1 microsecond', 'UTC') AS began,
                   sum(reading.energy) AS energy, avg(reading.battery_temp) AS temperature, count(*) AS readings
            FROM vehicle_reading AS reading GROUP BY 1
        ) AS dc USING (began)
    ), total AS (
        SELECT sum(hour.ac) AS ac, sum(hour.dc) AS dc,
               -- Added in the order of the hours, as a reader of the answer would add them.
               sum(hour.ac::float8 / 1e9 ORDER BY hour.began) AS ac_kwh,
               sum(hour.dc::float8 / 1e9 ORDER BY hour.began) AS dc_kwh,
               jsonb_agg(jsonb_build_object(
                   'start', hour.began, 'end', hour.ended,
                   'ac_kwh', hour.ac::float8 / 1e9, 'dc_kwh', hour.dc::float8 / 1e9,
                   'ratio', hour.dc::float8 / nullif(hour.ac::float8, 0),
                   'average_temperature_c', hour.temperature, 'readings', hour.readings
               ) ORDER BY hour.began) AS hourly
        FROM hour
    ), quality AS (
        SELECT (SELECT count(*) FROM vehicle_reading) AS vehicle_readings,
               (SELECT count(*) FROM meter_reading) AS meter_readings,
               coalesce(share_of((SELECT covered FROM vehicle_known), window_end - window_start), 0) AS vehicle_coverage,
               coalesce(share_of((SELECT covered FROM meter_known),
                                 (SELECT sum(ended - began) FROM segment)), 0) AS meter_coverage,
               EXISTS (SELECT FROM responsible) AS has_meter,
               EXISTS (SELECT FROM responsible WHERE NOT isempty(responsible.shared)) AS shares,
               EXISTS (SELECT FROM meter_reading AS reading WHERE reading.implausible)
                   OR EXISTS (SELECT FROM vehicle_reading AS reading WHERE reading.implausible) AS jumps
    )
    SELECT total.ac_kwh, total.dc_kwh, total.ac_kwh - total.dc_kwh,
           total.dc::float8 / nullif(total.ac::float8, 0),
           round(100 * total.dc / nullif(total.ac, 0), 1),
           performance_status(total.ac, total.dc, quality.vehicle_coverage, quality.meter_coverage,
                              quality.has_meter),
           (SELECT avg(reading.battery_temp) FROM vehicle_reading AS reading),
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
                'meter_id', segment.meter_id, 'start', segment.began, 'end', segment.ended)
                ORDER BY segment.began, segment.meter_id)
            FROM segment), '[]'),
           total.hourly,
           statement_timestamp()
    FROM total CROSS JOIN quality;
END
$$;
