-- How well a vehicle was charged, for people at psql. The API answers from the readings, to the microsecond
-- (api/queries/performance.py).

-- The status that follows from the energies (nanokilowatt-hours) of a window; `is_covered`: at least half of it is
-- known on both sides. Bands are half open, and decided before anything is rounded (energy/status.py).
CREATE OR REPLACE FUNCTION vehicle_status(ac numeric, dc numeric, has_meter boolean, is_covered boolean) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE
        WHEN NOT has_meter THEN 'no_meter'
        WHEN ac < 1e8 OR NOT is_covered THEN 'insufficient_data'
        WHEN dc > ac THEN 'implausible'
        WHEN dc >= 0.85 * ac THEN 'optimal'
        WHEN dc >= 0.75 * ac THEN 'degraded'
        ELSE 'critical'
    END
$$;

-- How long a time is, in microseconds.
CREATE OR REPLACE FUNCTION microseconds(length interval) RETURNS numeric
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN extract(epoch FROM length) * 1000000;

-- How well the vehicle was charged in whole hours: in those within a window that are rolled up. `answered_from` and
-- `answered_to` say which they are; both are null if there are none, and so is all else. The newest hour or two
-- are rolled up only once they are over.
--
-- An energy is null if nothing is known of it. `reasons` are those of the API, but `overlapping_readings` is
-- decided by the hour. `meters` is a JSON array of the times for which meters are counted, `hourly` one of the
-- hours, whose energies add up to the totals. All energy of another meter is a question for the API.
CREATE OR REPLACE FUNCTION vehicle_performance(
    of_vehicle text, window_start timestamptz, window_end timestamptz
) RETURNS TABLE (
    ac_kwh double precision, dc_kwh double precision, loss_kwh double precision,
    ratio double precision, percentage numeric, status text,
    average_temperature_c double precision,
    vehicle_readings bigint, meter_readings bigint,
    vehicle_coverage double precision, meter_coverage double precision, reasons text[],
    sessions bigint, meters jsonb, hourly jsonb, as_of timestamptz,
    answered_from timestamptz, answered_to timestamptz
) LANGUAGE plpgsql STABLE SET timezone = 'UTC' AS $$
DECLARE
    first_hour  CONSTANT integer := ceil(hours_since_1970(window_start));
    last_hour   integer := floor(hours_since_1970(window_end));
    doubted     date;
BEGIN
    last_hour := least(last_hour, (
        SELECT min(hours_since_1970(noted.since))
        FROM (
            SELECT array_agg(due.stream) AS streams, array_agg(pair.device_id) AS devices,
                   array_agg(pair.hour) AS hours
            FROM rollup_due AS due, unnest(due.devices, due.hours) AS pair (device_id, hour)
            WHERE due.stream = 'vehicle' AND pair.device_id = of_vehicle
               OR due.stream = 'meter' AND (
                      EXISTS (SELECT FROM vehicle_meter_assignment AS assignment
                              WHERE assignment.meter_id = pair.device_id AND assignment.vehicle_id = of_vehicle)
                      OR EXISTS (SELECT FROM charging_session AS session
                                 WHERE exactly(session.meter_id) = exactly(pair.device_id)
                                   AND session.vehicle_id = of_vehicle))
        ) AS told
        CROSS JOIN LATERAL vehicles_noted(told.streams, told.devices, told.hours) AS noted
        WHERE noted.vehicle_id = of_vehicle
    ), (
        SELECT hours_since_1970(due.since) FROM vehicle_due AS due WHERE due.vehicle_id = of_vehicle
    ));
    SELECT doubtful.day INTO doubted
    FROM doubtful_days(ARRAY[of_vehicle], date '1970-01-01' + first_hour / 24,
                       date '1970-01-01' + (last_hour - 1) / 24, statement_timestamp()) AS doubtful;
    last_hour := least(last_hour, midnight_hour(doubted));

    RETURN QUERY
    WITH asked AS (
        SELECT time_of_hour(first_hour) AS began, time_of_hour(last_hour) AS ended
        WHERE first_hour < last_hour
    ), responsible AS MATERIALIZED (
        SELECT mine.* FROM asked CROSS JOIN vehicle_meters(of_vehicle, asked.began, asked.ended) AS mine
    ), segment AS MATERIALIZED (
        SELECT responsible.meter_id, lower(during) AS began, upper(during) AS ended
        FROM responsible CROSS JOIN unnest(responsible.charged) AS during
    ), sent AS MATERIALIZED (
        SELECT history.recorded_at, history.battery_temp
        FROM asked
        JOIN vehicle_history AS history
            ON history.vehicle_id = of_vehicle
           AND history.recorded_at > asked.began AND history.recorded_at <= asked.ended
    ), hour AS MATERIALIZED (
        SELECT time_of_hour(number) AS began, time_of_hour(number + 1) AS ended,
               coalesce(kept.ac[number % 24 + 1], 0) AS ac, coalesce(kept.dc[number % 24 + 1], 0) AS dc,
               -- Also by a long gap that lies whole within the hour.
               coalesce(kept.ac_known_us[number % 24 + 1], 0) > 0 OR coalesce(kept.ac[number % 24 + 1], 0) <> 0
                   OR coalesce(gap.ac, false) AS ac_told,
               coalesce(kept.dc_known_us[number % 24 + 1], 0) > 0 OR coalesce(kept.dc[number % 24 + 1], 0) <> 0
                   OR coalesce(gap.dc, false) AS dc_told,
               told.temperature, coalesce(told.readings, 0) AS readings
        FROM asked
        CROSS JOIN generate_series(first_hour, last_hour - 1) AS number
        LEFT JOIN vehicle_day AS kept
            ON kept.vehicle_id = of_vehicle AND kept.day = date '1970-01-01' + number / 24
        LEFT JOIN LATERAL (
            SELECT bool_or(one.is_ac) AS ac, bool_or(NOT one.is_ac) AS dc
            FROM unnest(kept.gap_starts, kept.gap_ends, kept.gap_lengths, kept.gap_is_ac)
                     AS one (started_at, ended_at, length, is_ac)
            WHERE one.started_at >= time_of_hour(number) AND one.ended_at <= time_of_hour(number + 1)
              AND one.length > 0
        ) AS gap ON true
        LEFT JOIN (
            SELECT floor(hours_since_1970(sent.recorded_at - interval '1 microsecond'))::integer AS number,
                   avg(sent.battery_temp) AS temperature, count(*) AS readings
            FROM sent GROUP BY 1
        ) AS told USING (number)
    ), total AS (
        SELECT asked.began, asked.ended, coalesce(kept.ac, 0) AS ac, coalesce(kept.dc, 0) AS dc,
               coalesce(kept.doubts, 0::smallint) AS doubts,
               coalesce(kept.ac_known_us, 0) AS ac_known_us, coalesce(kept.dc_known_us, 0) AS dc_known_us,
               microseconds(asked.ended - asked.began) AS dc_asked_us,
               coalesce((SELECT sum(microseconds(segment.ended - segment.began)) FROM segment), 0) AS ac_asked_us,
               EXISTS (SELECT FROM responsible) AS has_meter
        FROM asked
        LEFT JOIN kept_of_vehicle(of_vehicle, first_hour, last_hour, time_of_hour(first_hour)) AS kept ON true
    ), known AS (
        SELECT total.*,
               CASE WHEN total.ac_known_us > 0 OR (SELECT bool_or(hour.ac_told) FROM hour) THEN total.ac END AS known_ac,
               CASE WHEN total.dc_known_us > 0 OR (SELECT bool_or(hour.dc_told) FROM hour) THEN total.dc END AS known_dc
        FROM total
    )
    SELECT known.known_ac::float8 / 1e9, known.known_dc::float8 / 1e9, (known.known_ac - known.known_dc)::float8 / 1e9,
           known.known_dc::float8 / nullif(known.known_ac::float8, 0),
           round(100 * known.known_dc / nullif(known.known_ac, 0), 1),
           vehicle_status(known.ac, known.dc, known.has_meter,
                          known.ac_asked_us > 0 AND 2 * known.ac_known_us >= known.ac_asked_us
                          AND 2 * known.dc_known_us >= known.dc_asked_us),
           (SELECT avg(sent.battery_temp) FROM sent),
           (SELECT count(*) FROM sent),
           (SELECT count(*)
            FROM segment
            JOIN meter_history AS history
                ON history.meter_id = segment.meter_id
               AND history.recorded_at > segment.began AND history.recorded_at <= segment.ended),
           (known.dc_known_us / known.dc_asked_us)::float8,
           coalesce(known.ac_known_us / nullif(known.ac_asked_us, 0), 0)::float8,
           array_remove(ARRAY[
               CASE WHEN EXISTS (SELECT FROM responsible WHERE NOT isempty(responsible.shared)) THEN 'shared_meter' END,
               CASE WHEN known.doubts & 2 <> 0 THEN 'implausible_jump' END,
               CASE WHEN known.doubts & 1 <> 0 THEN 'implausible_reading' END,
               CASE WHEN known.doubts & 16 <> 0 THEN 'overlapping_readings' END,
               CASE WHEN known.doubts & 4 <> 0 THEN 'register_fell' END,
               CASE WHEN known.doubts & 8 <> 0 THEN 'unsettled' END,
               CASE WHEN EXISTS (SELECT FROM history_removed AS gone WHERE gone.until > known.began)
                    THEN 'history_removed' END
           ], NULL),
           (SELECT count(*) FROM charging_session AS session
            WHERE exactly(session.vehicle_id) = exactly(of_vehicle)
              AND session.during && tstzrange(known.began, known.ended, '(]')),
           coalesce((SELECT jsonb_agg(jsonb_build_object(
                'meter_id', segment.meter_id, 'start', segment.began, 'end', segment.ended)
                ORDER BY segment.began, segment.meter_id)
            FROM segment), '[]'),
           (SELECT jsonb_agg(jsonb_build_object(
                'start', hour.began, 'end', hour.ended,
                'ac_kwh', CASE WHEN hour.ac_told THEN hour.ac::float8 / 1e9 END,
                'dc_kwh', CASE WHEN hour.dc_told THEN hour.dc::float8 / 1e9 END,
                'ratio', CASE WHEN hour.ac_told AND hour.dc_told THEN hour.dc::float8 / nullif(hour.ac::float8, 0) END,
                'average_temperature_c', hour.temperature, 'readings', hour.readings
            ) ORDER BY hour.began) FROM hour),
           statement_timestamp(), known.began, known.ended
    FROM known;
    IF NOT FOUND THEN
        RETURN QUERY SELECT NULL::float8, NULL::float8, NULL::float8, NULL::float8, NULL::numeric, NULL::text,
            NULL::float8, NULL::bigint, NULL::bigint, NULL::float8, NULL::float8, NULL::text[], NULL::bigint,
            NULL::jsonb, NULL::jsonb, statement_timestamp(), NULL::timestamptz, NULL::timestamptz;
    END IF;
END
$$;
