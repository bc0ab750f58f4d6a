-- How well each vehicle of the fleet was charged.

-- Raises WL001 if reading the noted hours from history would take longer than a statement may: otherwise the
-- statement would run until its timeout. If statements have no timeout, nothing is refused.
CREATE OR REPLACE FUNCTION check_notes(window_start timestamptz, window_end timestamptz) RETURNS void
LANGUAGE plpgsql STABLE SET timezone = 'UTC' AS $$
DECLARE
    -- The number of readings, or of pairs in notes, that can be read in time: about 250,000 a second. A
    -- registered interval below a second counts as a second, or one device could block the fleet's answers.
    most    CONSTANT bigint := 250000 * date_part('epoch', current_setting('statement_timeout')::interval);
    longest CONSTANT integer := ceil(date_part('epoch', window_end - window_start) / 3600);
    noted   bigint;
BEGIN
    SELECT coalesce(sum(pairs), 0) INTO noted FROM rollup_due;
    IF most = 0 OR noted * longest * 60 <= most THEN
        RETURN;
    END IF;
    IF noted <= most THEN
        SELECT coalesce(sum(hours_noted * 3600 / greatest(coalesce(meter.reading_interval_seconds, vehicle.reading_interval_seconds, 60), 1)), 0)
        INTO noted
        FROM (
            SELECT due.stream, pair.device_id,
                   least(longest, ceil(hours_since_1970(window_end)) - min(pair.hour)) AS hours_noted
            FROM rollup_due AS due, unnest(due.devices, due.hours) AS pair (device_id, hour)
            WHERE pair.hour >= midnight_hour(window_start::date - 1)
              AND pair.hour < ceil(hours_since_1970(window_end))
            GROUP BY 1, 2
        ) AS noted_device
        LEFT JOIN meter ON noted_device.stream = 'meter' AND meter.meter_id = noted_device.device_id
        LEFT JOIN vehicle ON noted_device.stream = 'vehicle' AND vehicle.vehicle_id = noted_device.device_id;
    END IF;
    IF noted > most THEN
        RAISE EXCEPTION USING ERRCODE = 'WL001', MESSAGE = 'too much is noted and not rolled up yet';
    END IF;
END
$$;

-- What vehicle_performance says, without hours and meters, for every vehicle that is registered or has sent
-- a reading.
CREATE OR REPLACE FUNCTION fleet_performance(window_start timestamptz, window_end timestamptz)
RETURNS TABLE (
    vehicle_id text, status text, ac_kwh double precision, dc_kwh double precision,
    ratio double precision, percentage numeric,
    vehicle_coverage double precision, meter_coverage double precision
) LANGUAGE plpgsql STABLE SET plan_cache_mode = force_custom_plan SET timezone = 'UTC' AS $$
DECLARE
    vehicles text[];
    -- Four columns of the times for which meters charged vehicles.
    charged  text[];
    by_meter text[];
    starts   timestamptz[];
    ends     timestamptz[];
BEGIN
    PERFORM check_notes(window_start, window_end);
    SELECT coalesce(array_agg(known.vehicle_id), '{}') INTO vehicles
    FROM (SELECT vehicle.vehicle_id FROM vehicle
          UNION
          SELECT state.vehicle_id FROM vehicle_current_state AS state) AS known;

    SELECT array_agg(charge.vehicle_id), array_agg(charge.meter_id),
           array_agg(lower(charge.during)), array_agg(upper(charge.during))
    INTO charged, by_meter, starts, ends
    FROM fleet_meters(tstzrange(window_start, window_end, '(]')) AS charge;

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
        SELECT known.vehicle_id, ac.vehicle_id IS NOT NULL AS has_meter,
               coalesce(ac.energy, 0) AS ac, coalesce(dc.energy, 0) AS dc,
               coalesce(share_of(dc.covered, window_end - window_start), 0) AS vehicle_coverage,
               coalesce(share_of(ac.covered, ac.asked), 0) AS meter_coverage
        FROM unnest(vehicles) WITH ORDINALITY AS known (vehicle_id, number)
        LEFT JOIN ac USING (vehicle_id)
        LEFT JOIN span AS dc ON dc.stream = 'vehicle' AND dc.number = known.number
    )
    SELECT summed.vehicle_id,
           performance_status(summed.ac, summed.dc, summed.vehicle_coverage, summed.meter_coverage, summed.has_meter),
           summed.ac::float8 / 1e9, summed.dc::float8 / 1e9, summed.dc::float8 / nullif(summed.ac::float8, 0),
           round(100 * summed.dc / nullif(summed.ac, 0), 1), summed.vehicle_coverage, summed.meter_coverage
    FROM summed;
END
$$;
