-- What readings are worth, and what they cover.
--
-- Energies are summed as whole nanokilowatt-hours (1e-9 kWh, bigint): a reading is a decimal, so sums
-- come out as the decimals that an analyst would add up by hand, in whatever order they are taken, and
-- a ratio on the edge of a band falls on the right side of it.

CREATE OR REPLACE VIEW reading AS
SELECT 'meter' AS stream, meter_id AS device_id, recorded_at, kwh_consumed_ac AS kwh FROM meter_history
UNION ALL
SELECT 'vehicle', vehicle_id, recorded_at, kwh_delivered_dc FROM vehicle_history;

-- A device's last reading at or before a time. Each history is asked by itself, so that its days are searched
-- from the newest on, and only until a reading is found.
CREATE OR REPLACE FUNCTION last_reading(of_stream text, of_device text, until timestamptz)
RETURNS TABLE (recorded_at timestamptz, kwh double precision) LANGUAGE sql STABLE AS $$
    (SELECT recorded_at, kwh_consumed_ac FROM meter_history
     WHERE of_stream = 'meter' AND meter_id = of_device AND recorded_at <= until
     ORDER BY recorded_at DESC LIMIT 1)
    UNION ALL
    (SELECT recorded_at, kwh_delivered_dc FROM vehicle_history
     WHERE of_stream = 'vehicle' AND vehicle_id = of_device AND recorded_at <= until
     ORDER BY recorded_at DESC LIMIT 1)
$$;

-- Whether there may be readings on a UTC day; one at midnight belongs to the day that it ends.
CREATE OR REPLACE FUNCTION has_readings(of_stream text, of_day date) RETURNS boolean
LANGUAGE plpgsql STABLE SET timezone = 'UTC' AS $$
BEGIN
    IF of_stream = 'meter' THEN
        RETURN EXISTS (SELECT FROM meter_history
                       WHERE recorded_at >= of_day::timestamptz AND recorded_at < (of_day + 2)::timestamptz);
    END IF;
    RETURN EXISTS (SELECT FROM vehicle_history
                   WHERE recorded_at >= of_day::timestamptz AND recorded_at < (of_day + 2)::timestamptz);
END
$$;

-- The beginning of the time that a reading covers; the time ends with the reading. A reading of an interval
-- device covers its interval, but nothing before the previous reading. A reading of a register covers all
-- since the previous reading, and nothing if there is none. The time never begins before `since`, if given.
CREATE OR REPLACE FUNCTION covered_from(
    is_register boolean, every interval, previous_at timestamptz, recorded_at timestamptz,
    since timestamptz DEFAULT NULL
) RETURNS timestamptz LANGUAGE sql STABLE PARALLEL SAFE
RETURN greatest(since, CASE WHEN is_register THEN coalesce(previous_at, recorded_at)
                            ELSE greatest(previous_at, recorded_at - every) END);

-- What each reading of a meter in a window, start < recorded_at <= end, is worth. `previous_at` is the time
-- of the reading before, in the window or, for a register, at or before its start; null if there is none.
-- A register's energy depends on all readings before it in the window, and on the last one before the window.
CREATE OR REPLACE FUNCTION meter_energy(of_meter text, window_start timestamptz, window_end timestamptz)
RETURNS TABLE (recorded_at timestamptz, previous_at timestamptz, energy bigint, implausible boolean)
LANGUAGE plpgsql STABLE SET plan_cache_mode = force_custom_plan AS $$
DECLARE
    device meter;
BEGIN
    SELECT * INTO device FROM meter WHERE meter.meter_id = of_meter;
    IF device.reading_kind IS DISTINCT FROM 'register' THEN
        RETURN QUERY
        SELECT history.recorded_at, lag(history.recorded_at) OVER (ORDER BY history.recorded_at),
               round(history.kwh_consumed_ac * 1e9)::bigint, false
        FROM meter_history AS history
        WHERE history.meter_id = of_meter AND history.recorded_at > window_start AND history.recorded_at <= window_end;
        RETURN;
    END IF;
    RETURN QUERY
    SELECT worth.recorded_at, worth.previous_at, (worth.state).energy, (worth.state).implausible
    FROM (
        SELECT reading.recorded_at, lag(reading.recorded_at) OVER in_time AS previous_at,
               register(reading.kwh_consumed_ac, reading.recorded_at, device.capacity_kw,
                        device.register_modulus_kwh) OVER in_time AS state
        FROM (
            (SELECT history.recorded_at, history.kwh_consumed_ac FROM meter_history AS history
             WHERE history.meter_id = of_meter AND history.recorded_at <= window_start
             ORDER BY history.recorded_at DESC LIMIT 1)
            UNION ALL
            SELECT history.recorded_at, history.kwh_consumed_ac FROM meter_history AS history
            WHERE history.meter_id = of_meter AND history.recorded_at > window_start AND history.recorded_at <= window_end
        ) AS reading
        WINDOW in_time AS (ORDER BY reading.recorded_at)
    ) AS worth
    WHERE worth.recorded_at > window_start;
END
$$;

-- The same for a vehicle, with the temperature of its battery. Vehicles have neither a rating nor a modulus.
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
        SELECT history.recorded_at, lag(history.recorded_at) OVER (ORDER BY history.recorded_at),
               round(history.kwh_delivered_dc * 1e9)::bigint, false, history.battery_temp
        FROM vehicle_history AS history
        WHERE history.vehicle_id = of_vehicle AND history.recorded_at > window_start AND history.recorded_at <= window_end;
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
            (SELECT history.recorded_at, history.kwh_delivered_dc, history.battery_temp FROM vehicle_history AS history
             WHERE history.vehicle_id = of_vehicle AND history.recorded_at <= window_start
             ORDER BY history.recorded_at DESC LIMIT 1)
            UNION ALL
            SELECT history.recorded_at, history.kwh_delivered_dc, history.battery_temp FROM vehicle_history AS history
            WHERE history.vehicle_id = of_vehicle AND history.recorded_at > window_start AND history.recorded_at <= window_end
        ) AS reading
        WINDOW in_time AS (ORDER BY reading.recorded_at)
    ) AS worth
    WHERE worth.recorded_at > window_start;
END
$$;

-- What an interval device's readings in a time are worth, from history. `before_at` is the time of the reading
-- before the first one, if it is known.
CREATE OR REPLACE FUNCTION interval_readings(
    of_stream text, of_device text, after timestamptz, until timestamptz, before_at timestamptz
) RETURNS TABLE (recorded_at timestamptz, previous_at timestamptz, energy bigint) LANGUAGE sql STABLE AS $$
    SELECT reading.recorded_at,
           lag(reading.recorded_at, 1, before_at) OVER (ORDER BY reading.recorded_at),
           round(reading.kwh * 1e9)::bigint
    FROM reading
    WHERE reading.stream = of_stream AND reading.device_id = of_device
      AND reading.recorded_at > after AND reading.recorded_at <= until
$$;

-- What a register's readings in a time are worth, from history. The first one is compared with the last one
-- before that time.
CREATE OR REPLACE FUNCTION register_readings(
    of_stream text, of_device text, after timestamptz, until timestamptz,
    capacity_kw double precision, modulus_kwh double precision
) RETURNS TABLE (recorded_at timestamptz, previous_at timestamptz, energy bigint) LANGUAGE sql STABLE AS $$
    SELECT worth.recorded_at, worth.previous_at, (worth.state).energy
    FROM (
        SELECT one.recorded_at, lag(one.recorded_at) OVER in_time AS previous_at,
               register(one.kwh, one.recorded_at, capacity_kw, modulus_kwh) OVER in_time AS state
        FROM (
            SELECT last.recorded_at, last.kwh FROM last_reading(of_stream, of_device, after) AS last
            UNION ALL
            SELECT reading.recorded_at, reading.kwh FROM reading
            WHERE reading.stream = of_stream AND reading.device_id = of_device
              AND reading.recorded_at > after AND reading.recorded_at <= until
        ) AS one
        WINDOW in_time AS (ORDER BY one.recorded_at)
    ) AS worth
    WHERE worth.recorded_at > after
$$;

-- The rows of `meter_energy` or `vehicle_energy`, with the hour of each reading.
CREATE OR REPLACE FUNCTION device_energy(
    of_stream text, of_device text, window_start timestamptz, window_end timestamptz
) RETURNS TABLE (recorded_at timestamptz, previous_at timestamptz, energy bigint, hour integer)
LANGUAGE sql STABLE AS $$
    SELECT worth.recorded_at, worth.previous_at, worth.energy, floor(hours_since_1970(worth.recorded_at))::integer
    FROM (
        SELECT meter.recorded_at, meter.previous_at, meter.energy
        FROM meter_energy(of_device, window_start, window_end) AS meter WHERE of_stream = 'meter'
        UNION ALL
        SELECT vehicle.recorded_at, vehicle.previous_at, vehicle.energy
        FROM vehicle_energy(of_device, window_start, window_end) AS vehicle WHERE of_stream = 'vehicle'
    ) AS worth
$$;
