-- Energy: which meter charged which vehicle, what a reading is worth, and how a vehicle performed.
-- Applied with schema.sql. Windows are start < recorded_at <= end, everywhere.
--
-- Energies are summed as whole nanokilowatt-hours (1e-9 kWh, bigint): a reading is a decimal, so sums
-- come out as the decimals that an analyst would add up by hand, in whatever order they are taken, and
-- a ratio on the edge of a band falls on the right side of it.

-- What the devices are. A device that only sends readings has no row here, and all defaults.
CREATE TABLE IF NOT EXISTS meter (
    meter_id                 text COLLATE "C"  NOT NULL PRIMARY KEY CHECK (meter_id ~ '^[A-Za-z0-9._:-]{1,64}$'),
    location                 text              CHECK (length(location) <= 200),
    capacity_kw              double precision  CHECK (capacity_kw > 0 AND capacity_kw <= 1e6),
    reading_kind             text              NOT NULL DEFAULT 'interval' CHECK (reading_kind IN ('interval', 'register')),
    register_modulus_kwh     double precision  CHECK (register_modulus_kwh > 0 AND register_modulus_kwh <= 1e7),
    reading_interval_seconds double precision  NOT NULL DEFAULT 60 CHECK (reading_interval_seconds > 0 AND reading_interval_seconds <= 86400),
    created_at               timestamptz       NOT NULL DEFAULT now(),
    updated_at               timestamptz       NOT NULL DEFAULT now()
);

CREATE TABLE IF NOT EXISTS vehicle (
    vehicle_id               text COLLATE "C"  NOT NULL PRIMARY KEY CHECK (vehicle_id ~ '^[A-Za-z0-9._:-]{1,64}$'),
    model                    text              CHECK (length(model) <= 200),
    battery_capacity_kwh     double precision  CHECK (battery_capacity_kwh > 0 AND battery_capacity_kwh <= 1e6),
    max_ac_kw                double precision  CHECK (max_ac_kw > 0 AND max_ac_kw <= 1e6),
    reading_kind             text              NOT NULL DEFAULT 'interval' CHECK (reading_kind IN ('interval', 'register')),
    reading_interval_seconds double precision  NOT NULL DEFAULT 60 CHECK (reading_interval_seconds > 0 AND reading_interval_seconds <= 86400),
    created_at               timestamptz       NOT NULL DEFAULT now(),
    updated_at               timestamptz       NOT NULL DEFAULT now()
);

-- GiST has no operator class for text without an extension; a range of one text has one. (There is no
-- CREATE TYPE IF NOT EXISTS.)
DO $$
BEGIN
    CREATE TYPE text_range AS RANGE (subtype = text, collation = "C");
EXCEPTION WHEN duplicate_object THEN
END
$$;

CREATE OR REPLACE FUNCTION exactly(id text) RETURNS text_range
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN text_range(id, id, '[]');

-- Which meter charges a vehicle; ended_at null while that is so. A vehicle has one at a time, a meter
-- may serve several.
CREATE TABLE IF NOT EXISTS vehicle_meter_assignment (
    assignment_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    vehicle_id    text COLLATE "C" NOT NULL CHECK (vehicle_id ~ '^[A-Za-z0-9._:-]{1,64}$'),
    meter_id      text COLLATE "C" NOT NULL CHECK (meter_id ~ '^[A-Za-z0-9._:-]{1,64}$'),
    started_at    timestamptz NOT NULL,
    ended_at      timestamptz,
    during        tstzrange NOT NULL GENERATED ALWAYS AS (tstzrange(started_at, ended_at, '(]')) STORED,
    CHECK (ended_at > started_at),
    CONSTRAINT one_meter_at_a_time
        EXCLUDE USING gist (exactly(vehicle_id) WITH =, during WITH &&)
);

CREATE INDEX IF NOT EXISTS vehicle_meter_assignment_by_meter ON vehicle_meter_assignment (meter_id);

-- A charge; ended_at null while it runs. Neither a vehicle nor a meter is in two at a time, so that at
-- most one of either is active.
CREATE TABLE IF NOT EXISTS charging_session (
    session_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    vehicle_id text COLLATE "C" NOT NULL CHECK (vehicle_id ~ '^[A-Za-z0-9._:-]{1,64}$'),
    meter_id   text COLLATE "C" NOT NULL CHECK (meter_id ~ '^[A-Za-z0-9._:-]{1,64}$'),
    started_at timestamptz NOT NULL,
    ended_at   timestamptz,
    during     tstzrange NOT NULL GENERATED ALWAYS AS (tstzrange(started_at, ended_at, '(]')) STORED,
    CHECK (ended_at > started_at),
    CONSTRAINT vehicle_in_one_session
        EXCLUDE USING gist (exactly(vehicle_id) WITH =, during WITH &&),
    CONSTRAINT meter_in_one_session
        EXCLUDE USING gist (exactly(meter_id) WITH =, during WITH &&)
);

-- Those under way are listed without looking at all that are over.
CREATE INDEX IF NOT EXISTS charging_session_active ON charging_session (session_id) WHERE ended_at IS NULL;

-- What a register has come to: the value that the next one is compared with, when it was last read,
-- and what the last reading was worth.
DO $$
BEGIN
    CREATE TYPE register_state AS (baseline double precision, read_at timestamptz, energy bigint, implausible boolean);
EXCEPTION WHEN duplicate_object THEN
END
$$;

-- The next state. A fall of at most 0.1 kWh is jitter; a deeper one a rollover where the register has
-- a modulus that explains it, else a reset or another meter, which has counted from zero. What is more
-- than 1.1 times what the rated power could have drawn since the reading before is no energy.
CREATE OR REPLACE FUNCTION register_step(
    before register_state, kwh double precision, recorded_at timestamptz,
    capacity_kw double precision, modulus_kwh double precision
) RETURNS register_state LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
DECLARE
    possible numeric;
    gained   numeric;
    rolled   numeric;
BEGIN
    IF before.read_at IS NULL THEN
        RETURN ROW(kwh, recorded_at, 0, false)::register_state;
    END IF;
    -- In whole nanokilowatt-hours, of which none is lost to floating point.
    gained := round(kwh::numeric * 1e9) - round(before.baseline::numeric * 1e9);
    IF gained BETWEEN -1e8 AND -1 THEN
        RETURN ROW(before.baseline, recorded_at, 0, false)::register_state;
    END IF;
    possible := 1.1 * capacity_kw::numeric * extract(epoch FROM recorded_at - before.read_at) / 3600 * 1e9;
    IF gained < 0 THEN
        rolled := gained + round(modulus_kwh::numeric * 1e9);
        gained := round(kwh::numeric * 1e9);
        IF rolled >= 0 AND (rolled <= possible OR capacity_kw IS NULL AND kwh < modulus_kwh / 10) THEN
            gained := rolled;
        END IF;
    END IF;
    IF gained > possible THEN
        RETURN ROW(kwh, recorded_at, 0, true)::register_state;
    END IF;
    RETURN ROW(kwh, recorded_at, gained, false)::register_state;
END
$$;

CREATE OR REPLACE AGGREGATE register(double precision, timestamptz, double precision, double precision) (
    SFUNC = register_step, STYPE = register_state, INITCOND = '(,,0,f)'
);

-- What each reading of a window is worth. `previous_at`: of the reading before, in the window or, for a
-- register, at or before its start (null: none is known). A register's energy depends on the readings
-- before it in the window, and on the last one at or before its start.
CREATE OR REPLACE FUNCTION meter_energy(of_meter text, window_start timestamptz, window_end timestamptz)
RETURNS TABLE (recorded_at timestamptz, previous_at timestamptz, energy bigint, implausible boolean)
LANGUAGE plpgsql STABLE SET plan_cache_mode = force_custom_plan AS $$
DECLARE
    device meter;
BEGIN
    SELECT * INTO device FROM meter WHERE meter.meter_id = of_meter;
    IF device.reading_kind IS DISTINCT FROM 'register' THEN
        RETURN QUERY
        SELECT h.recorded_at, lag(h.recorded_at) OVER (ORDER BY h.recorded_at),
               round(h.kwh_consumed_ac * 1e9)::bigint, false
        FROM meter_history AS h
        WHERE h.meter_id = of_meter AND h.recorded_at > window_start AND h.recorded_at <= window_end;
        RETURN;
    END IF;
    RETURN QUERY
    SELECT worth.recorded_at, worth.previous_at, (worth.state).energy, (worth.state).implausible
    FROM (
        SELECT reading.recorded_at, lag(reading.recorded_at) OVER in_time AS previous_at,
               register(reading.kwh_consumed_ac, reading.recorded_at, device.capacity_kw,
                        device.register_modulus_kwh) OVER in_time AS state
        FROM (
            (SELECT h.recorded_at, h.kwh_consumed_ac FROM meter_history AS h
             WHERE h.meter_id = of_meter AND h.recorded_at <= window_start
             ORDER BY h.recorded_at DESC LIMIT 1)
            UNION ALL
            SELECT h.recorded_at, h.kwh_consumed_ac FROM meter_history AS h
            WHERE h.meter_id = of_meter AND h.recorded_at > window_start AND h.recorded_at <= window_end
        ) AS reading
        WINDOW in_time AS (ORDER BY reading.recorded_at)
    ) AS worth
    WHERE worth.recorded_at > window_start;
END
$$;

-- The same of a vehicle, with the temperature of its battery. Vehicles have neither a rating nor a modulus.
CREATE OR REPLACE FUNCTION vehicle_energy(of_vehicle text, window_start timestamptz, window_end timestamptz)
RETURNS TABLE (recorded_at timestamptz, previous_at timestamptz, energy bigint, implausible boolean,
               battery_temp double precision)
LANGUAGE plpgsql STABLE SET plan_cache_mode = force_custom_plan AS $$
DECLARE
    device vehicle;
BEGIN
    SELECT * INTO device FROM vehicle WHERE vehicle.vehicle_id = of_vehicle;
    IF device.reading_kind IS DISTINCT FROM 'register' THEN
        RETURN QUERY
        SELECT h.recorded_at, lag(h.recorded_at) OVER (ORDER BY h.recorded_at),
               round(h.kwh_delivered_dc * 1e9)::bigint, false, h.battery_temp
        FROM vehicle_history AS h
        WHERE h.vehicle_id = of_vehicle AND h.recorded_at > window_start AND h.recorded_at <= window_end;
        RETURN;
    END IF;
    RETURN QUERY
    SELECT worth.recorded_at, worth.previous_at, (worth.state).energy, (worth.state).implausible,
           worth.battery_temp
    FROM (
        SELECT reading.recorded_at, reading.battery_temp,
               lag(reading.recorded_at) OVER in_time AS previous_at,
               register(reading.kwh_delivered_dc, reading.recorded_at, NULL, NULL) OVER in_time AS state
        FROM (
            (SELECT h.recorded_at, h.kwh_delivered_dc, h.battery_temp FROM vehicle_history AS h
             WHERE h.vehicle_id = of_vehicle AND h.recorded_at <= window_start
             ORDER BY h.recorded_at DESC LIMIT 1)
            UNION ALL
            SELECT h.recorded_at, h.kwh_delivered_dc, h.battery_temp FROM vehicle_history AS h
            WHERE h.vehicle_id = of_vehicle AND h.recorded_at > window_start AND h.recorded_at <= window_end
        ) AS reading
        WINDOW in_time AS (ORDER BY reading.recorded_at)
    ) AS worth
    WHERE worth.recorded_at > window_start;
END
$$;

-- Which meters charged the vehicle, and when. While a session runs on a meter, its energy is that of the
-- session's vehicle; else it is the assigned vehicle's, where that is one; where it is several, nobody's,
-- and `shared` says when that was so.
CREATE OR REPLACE FUNCTION vehicle_meters(of_vehicle text, window_start timestamptz, window_end timestamptz)
RETURNS TABLE (meter_id text, charged tstzmultirange, shared tstzmultirange)
LANGUAGE sql STABLE AS $$
    WITH asked AS (
        SELECT tstzrange(window_start, window_end, '(]') AS during
    ), mine AS (
        SELECT meter_id, range_agg(during) FILTER (WHERE assigned) AS assigned,
               range_agg(during) FILTER (WHERE NOT assigned) AS charging
        FROM (
            SELECT meter_id, during, true AS assigned FROM vehicle_meter_assignment
            WHERE exactly(vehicle_id) = exactly(of_vehicle)
            UNION ALL
            SELECT meter_id, during, false FROM charging_session
            WHERE exactly(vehicle_id) = exactly(of_vehicle)
        ) AS fact
        WHERE during && (SELECT during FROM asked)
        GROUP BY meter_id
    ), known AS (
        SELECT mine.meter_id,
               coalesce(mine.charging, '{}') AS charging,
               coalesce(mine.assigned, '{}') - coalesce((
                   SELECT range_agg(session.during) FROM charging_session AS session
                   WHERE exactly(session.meter_id) = exactly(mine.meter_id)
                     AND session.during && (SELECT during FROM asked)
               ), '{}') AS assigned,
               coalesce((
                   SELECT range_agg(other.during) FROM vehicle_meter_assignment AS other
                   WHERE other.meter_id = mine.meter_id AND other.vehicle_id <> of_vehicle
                     AND other.during && (SELECT during FROM asked)
               ), '{}') AS others
        FROM mine
    )
    SELECT meter_id,
           (charging + (assigned - others)) * (SELECT tstzmultirange(during) FROM asked),
           assigned * others * (SELECT tstzmultirange(during) FROM asked)
    FROM known
$$;

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
