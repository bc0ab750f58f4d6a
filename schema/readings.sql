-- What readings are worth, and what they cover.
--
-- Energies are summed as whole nanokilowatt-hours (1e-9 kWh, bigint): a reading is a decimal, so sums
-- come out as the decimals that an analyst would add up by hand, in whatever order they are taken, and
-- a ratio on the edge of a band falls on the right side of it.

CREATE OR REPLACE VIEW reading AS
SELECT 'meter' AS stream, meter_id AS device_id, recorded_at, kwh_consumed_ac AS kwh FROM meter_history
UNION ALL
SELECT 'vehicle', vehicle_id, recorded_at, kwh_delivered_dc FROM vehicle_history;

-- A device's last reading at or before a time. Each history by itself, so that its days are looked through
-- from the newest on, and only until there is one.
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
