-- Rolling up: notes are worked off, and days that are over are completed.

-- Takes the lock for rolling up until the transaction ends, and returns whether it was free. Removing devices
-- takes it too. The number is ROLLED_UP of runtime/postgres/locks.py.
CREATE OR REPLACE FUNCTION try_rollup_lock() RETURNS boolean
LANGUAGE sql VOLATILE
RETURN pg_try_advisory_xact_lock(131260449292293);

-- The energy and coverage of a device's day by hours, 1 to 24, from the hour after `kept_to` on. `kept_at` is
-- the time of the day's last reading until then, `before_at` of the last one before the day. A register's
-- first reading of the day is a baseline only.
CREATE OR REPLACE FUNCTION hours_of_day(
    of_stream text, of_device text, midnight timestamptz, kept_to timestamptz,
    kept_at timestamptz, before_at timestamptz,
    is_register boolean, every interval, capacity_kw double precision, modulus_kwh double precision
) RETURNS TABLE (
    hour integer, energy numeric, covered interval, first_at timestamptz, last_at timestamptz, is_held boolean
) LANGUAGE sql STABLE AS $$
    SELECT date_part('hour', one.recorded_at - interval '1 microsecond')::integer + 1,
           sum(one.energy), sum(one.covered), min(one.recorded_at), max(one.recorded_at), bool_or(one.is_held)
    FROM (
        SELECT reading.recorded_at, reading.energy, false AS is_held,
               reading.recorded_at - covered_from(false, every, reading.previous_at, reading.recorded_at) AS covered
        FROM interval_readings(of_stream, of_device, kept_to, midnight + interval '24 hours',
                               coalesce(kept_at, before_at)) AS reading
        WHERE NOT is_register
        UNION ALL
        SELECT counted.recorded_at, (counted.state).energy,
               (counted.state).baseline > counted.kwh
                   OR lag((counted.state).baseline > counted.kwh, 1, false) OVER (ORDER BY counted.recorded_at),
               interval '0'
        FROM (
            SELECT reading.recorded_at, reading.kwh,
                   register(reading.kwh, reading.recorded_at, capacity_kw, modulus_kwh)
                       OVER (ORDER BY reading.recorded_at) AS state
            FROM reading
            WHERE is_register AND reading.stream = of_stream AND reading.device_id = of_device
              AND reading.recorded_at > midnight AND reading.recorded_at <= midnight + interval '24 hours'
              -- With the last one before, which the first is compared with.
              AND reading.recorded_at >= coalesce(kept_at, midnight)
        ) AS counted
    ) AS one
    WHERE one.recorded_at > kept_to
    GROUP BY 1
$$;

-- Computes the day of some devices again, each from the hour (0 to 23) that was touched; the hours before it
-- are kept. Each device is named once.
CREATE OR REPLACE FUNCTION roll_up_day(of_stream text, of_day date, devices text[], hours integer[])
RETURNS void LANGUAGE plpgsql SET plan_cache_mode = force_custom_plan SET timezone = 'UTC' AS $$
DECLARE
    midnight CONSTANT timestamptz := of_day;
BEGIN
    INSERT INTO energy_rollup AS old (stream, day, device_id, energy, covered, last_at, first_after, is_held,
                                      before_at, first_value, last_value,
                                      is_register, every, capacity_kw, modulus_kwh)
    WITH asked AS (
        SELECT asked.device_id, coalesce(device.is_register, false) AS is_register,
               coalesce(device.every, '1 minute') AS every, device.capacity_kw, device.modulus_kwh,
               -- A register that stood below its baseline is computed from midnight on.
               CASE WHEN old.is_held OR old.energy[25] IS NULL THEN 0 ELSE asked.hour END AS from_hour,
               old.energy, old.covered, old.last_at, old.first_after, old.before_at
        FROM unnest(devices, hours) AS asked (device_id, hour)
        LEFT JOIN device ON device.stream = of_stream AND device.device_id = asked.device_id
        LEFT JOIN energy_rollup AS old
            ON old.stream = of_stream AND old.day = of_day AND old.device_id = asked.device_id
            AND is_rolled_as(old, coalesce(device.is_register, false), coalesce(device.every, '1 minute'),
                             device.capacity_kw, device.modulus_kwh)
    ), touched AS MATERIALIZED (  -- or `hours_of_day` would not become part of this statement: see schema/hours.sql
        SELECT asked.device_id, asked.is_register, asked.every, asked.capacity_kw, asked.modulus_kwh, asked.from_hour,
               midnight + make_interval(hours => asked.from_hour) AS kept_to,
               asked.energy, asked.covered, asked.last_at, asked.first_after,
               CASE WHEN asked.from_hour > 0 THEN asked.before_at ELSE (
                   SELECT max(reading.recorded_at) FROM reading
                   WHERE reading.stream = of_stream AND reading.device_id = asked.device_id
                     AND reading.recorded_at > midnight - interval '1 hour' AND reading.recorded_at <= midnight
               ) END AS before_at
        FROM asked
    )
    SELECT of_stream, of_day, touched.device_id,
           coalesce(touched.energy[1:touched.from_hour + 1], '{0}') || fresh.energy,
           coalesce(touched.covered[1:touched.from_hour + 1], '{0}') || fresh.covered,
           coalesce(touched.last_at[1:touched.from_hour + 1], '{NULL}') || fresh.last_at,
           CASE WHEN touched.from_hour = 0 THEN '{}'
                WHEN touched.first_after[touched.from_hour] <= touched.kept_to
                THEN touched.first_after[1:touched.from_hour]
                ELSE ARRAY(SELECT CASE WHEN known.at <= touched.kept_to THEN known.at ELSE fresh.first_at END
                           FROM unnest(touched.first_after[1:touched.from_hour]) WITH ORDINALITY AS known (at, place)
                           ORDER BY known.place) END || fresh.first_at || fresh.first_after,
           coalesce(fresh.is_held, false), touched.before_at,
           CASE WHEN touched.is_register THEN (
               SELECT reading.kwh FROM reading
               WHERE reading.stream = of_stream AND reading.device_id = touched.device_id
                 AND reading.recorded_at > midnight AND reading.recorded_at <= midnight + interval '24 hours'
               ORDER BY reading.recorded_at LIMIT 1) END,
           CASE WHEN touched.is_register THEN (
               SELECT reading.kwh FROM reading
               WHERE reading.stream = of_stream AND reading.device_id = touched.device_id
                 AND reading.recorded_at > midnight AND reading.recorded_at <= midnight + interval '24 hours'
               ORDER BY reading.recorded_at DESC LIMIT 1) END,
           touched.is_register, touched.every, touched.capacity_kw, touched.modulus_kwh
    FROM touched
    CROSS JOIN LATERAL (
        SELECT array_agg(CASE WHEN abs(boundary.energy) < 4e18 THEN boundary.energy::bigint END
                         ORDER BY boundary.hour) AS energy,
               array_agg((date_part('epoch', boundary.covered) * 1e6)::bigint
                         + coalesce(touched.covered[touched.from_hour + 1], 0) ORDER BY boundary.hour) AS covered,
               array_agg(coalesce(boundary.last_at, touched.last_at[touched.from_hour + 1])
                         ORDER BY boundary.hour) AS last_at,
               array_agg(boundary.first_after ORDER BY boundary.hour) AS first_after,
               min(boundary.first_at) AS first_at, bool_or(boundary.is_held) AS is_held
        FROM (
            -- An hour ends at the boundary of its number.
            SELECT place.hour, one.first_at, one.is_held,
                   coalesce(touched.energy[touched.from_hour + 1], 0)
                       + coalesce(sum(one.energy) OVER so_far, 0) AS energy,
                   coalesce(sum(one.covered) OVER so_far, '0') AS covered,
                   max(one.last_at) OVER so_far AS last_at,
                   min(one.first_at) OVER (ORDER BY place.hour ROWS BETWEEN 1 FOLLOWING AND UNBOUNDED FOLLOWING) AS first_after
            FROM generate_series(touched.from_hour + 1, 24) AS place (hour)
            LEFT JOIN hours_of_day(of_stream, touched.device_id, midnight, touched.kept_to,
                                   touched.last_at[touched.from_hour + 1], touched.before_at,
                                   touched.is_register, touched.every, touched.capacity_kw, touched.modulus_kwh) AS one
                ON one.hour = place.hour
            WINDOW so_far AS (ORDER BY place.hour)
        ) AS boundary
    ) AS fresh
    WHERE coalesce(fresh.first_at, touched.last_at[touched.from_hour + 1]) IS NOT NULL
    ON CONFLICT (stream, day, device_id) DO UPDATE
    SET energy = excluded.energy, covered = excluded.covered, last_at = excluded.last_at,
        first_after = excluded.first_after, is_held = excluded.is_held,
        before_at = excluded.before_at, first_value = excluded.first_value,
        last_value = excluded.last_value, is_register = excluded.is_register, every = excluded.every,
        capacity_kw = excluded.capacity_kw, modulus_kwh = excluded.modulus_kwh;

    -- The first reading of the next day is compared with the last one of this day. If that has changed, the
    -- next day is noted.
    INSERT INTO rollup_due (stream, devices, hours)
    SELECT of_stream, array_agg(following.device_id), array_agg(midnight_hour(following.day))
    FROM unnest(devices) AS rolled (device_id)
    JOIN energy_rollup AS following
        ON following.stream = of_stream AND following.day = of_day + 1 AND following.device_id = rolled.device_id
    JOIN energy_rollup AS this
        ON this.stream = of_stream AND this.day = of_day AND this.device_id = rolled.device_id
    WHERE following.before_at IS DISTINCT FROM
          CASE WHEN this.last_at[25] > midnight + interval '23 hours' THEN this.last_at[25] END
    HAVING count(*) > 0;
END
$$;

-- Works off notes for about a second, the newest first, and returns how many it took; `most` means that more
-- are left. Returns null if another session rolls up: nothing was done then. What was taken and not worked
-- off in time is noted again, with the first hour of each device and day.
CREATE OR REPLACE FUNCTION roll_up(most integer DEFAULT 200) RETURNS integer
LANGUAGE plpgsql AS $$
DECLARE
    began      CONSTANT timestamptz := clock_timestamp();
    noted      integer;
    worked_off integer;
    touched    record;
    size       integer := 10;
    chunk_from integer;
    chunk_at   timestamptz;
    is_over    boolean := false;
BEGIN
    IF NOT try_rollup_lock() THEN
        RETURN NULL;
    END IF;
    CREATE TEMPORARY TABLE IF NOT EXISTS rollup_taken (LIKE rollup_due) ON COMMIT DELETE ROWS;
    DELETE FROM rollup_taken;  -- of a call before in the same transaction
    SELECT count(*) INTO noted FROM (SELECT FROM rollup_due LIMIT most) AS seen;
    -- A note is about one batch. At least one is taken, and at most as many as can be done in a second.
    WITH taken AS (
        DELETE FROM rollup_due
        WHERE due_id IN (SELECT due_id
                         FROM (SELECT due_id, pairs, sum(pairs) OVER (ORDER BY due_id DESC) AS so_far
                               FROM (SELECT due_id, pairs FROM rollup_due ORDER BY due_id DESC LIMIT most) AS newest) AS one
                         WHERE so_far - pairs < 20000)
        RETURNING *
    )
    INSERT INTO rollup_taken SELECT * FROM taken;
    GET DIAGNOSTICS worked_off = ROW_COUNT;
    FOR touched IN
        SELECT stream, day, array_agg(device_id) AS devices, array_agg(hour) AS hours
        FROM (
            SELECT taken.stream, date '1970-01-01' + pair.hour / 24 AS day, pair.device_id,
                   min(pair.hour % 24) AS hour
            FROM rollup_taken AS taken, unnest(taken.devices, taken.hours) AS pair (device_id, hour)
            GROUP BY 1, 2, 3
        ) AS first_hour
        GROUP BY stream, day
        ORDER BY day DESC
    LOOP
        chunk_from := 1;
        WHILE chunk_from <= cardinality(touched.devices) AND NOT is_over LOOP
            chunk_at := clock_timestamp();
            PERFORM roll_up_day(touched.stream, touched.day, touched.devices[chunk_from:chunk_from + size - 1],
                                touched.hours[chunk_from:chunk_from + size - 1]);
            chunk_from := chunk_from + size;
            -- One device's day may take a thousand times as long as another's.
            size := CASE WHEN clock_timestamp() - chunk_at < interval '100 milliseconds' THEN least(size * 2, 1280)
                         ELSE greatest(size / 2, 1) END;
            is_over := clock_timestamp() - began > interval '1 second';
        END LOOP;
        IF chunk_from <= cardinality(touched.devices) THEN
            worked_off := most;
            INSERT INTO rollup_due (stream, devices, hours)
            SELECT touched.stream, touched.devices[chunk_from:],
                   array_agg(midnight_hour(touched.day) + hour ORDER BY place)
            FROM unnest(touched.hours[chunk_from:]) WITH ORDINALITY AS rest (hour, place);
        END IF;
    END LOOP;
    RETURN CASE WHEN worked_off < noted THEN most ELSE worked_off END;
END
$$;

-- Completes the newest day before `today` that is not complete: of its next `most` devices, rolls up those
-- that are not yet. Returns whether there was anything to do; null while another session rolls up.
CREATE OR REPLACE FUNCTION complete_a_day(first_kept date, today date, most integer DEFAULT 200) RETURNS boolean
LANGUAGE plpgsql SET plan_cache_mode = force_custom_plan SET timezone = 'UTC' AS $$
DECLARE
    begun   rollup_day;
    last_id text;
    missing text[];
BEGIN
    IF NOT try_rollup_lock() THEN
        RETURN NULL;
    END IF;
    SELECT open.of_stream, open.day, open.done_to INTO begun
    FROM (
        -- In this order, so that history is searched only until a day is found.
        SELECT of_stream, asked.day::date AS day, coalesce(begun_day.done_to, '') AS done_to
        FROM generate_series(first_kept, today - 1, interval '1 day') AS asked (day)
        CROSS JOIN unnest(ARRAY['meter', 'vehicle']) AS of_stream
        LEFT JOIN rollup_day AS begun_day ON begun_day.stream = of_stream AND begun_day.day = asked.day::date
        WHERE begun_day.day IS NULL OR begun_day.done_to IS NOT NULL
        ORDER BY asked.day DESC, of_stream
        OFFSET 0
    ) AS open
    WHERE has_readings(open.of_stream, open.day)
    LIMIT 1;
    IF begun.day IS NULL THEN
        RETURN false;
    END IF;
    WITH RECURSIVE next AS (
        -- Jumps in the index from one device to the next, however many readings each has.
        SELECT begun.done_to AS device_id, 0 AS number
        UNION ALL
        SELECT (SELECT reading.device_id FROM reading
                WHERE reading.stream = begun.stream AND reading.device_id > next.device_id
                  AND reading.recorded_at >= begun.day::timestamptz AND reading.recorded_at < (begun.day + 2)::timestamptz
                ORDER BY reading.device_id LIMIT 1), next.number + 1
        FROM next
        WHERE next.device_id IS NOT NULL AND next.number < most
    )
    SELECT max(next.device_id COLLATE "C"), array_agg(next.device_id) FILTER (WHERE rolled.day IS NULL)
    INTO last_id, missing
    FROM next
    LEFT JOIN energy_rollup AS rolled
        ON rolled.stream = begun.stream AND rolled.day = begun.day AND rolled.device_id = next.device_id
    WHERE next.number > 0 AND next.device_id IS NOT NULL;
    IF missing IS NOT NULL THEN
        PERFORM roll_up_day(begun.stream, begun.day, missing, array_fill(0, ARRAY[cardinality(missing)]));
    END IF;
    INSERT INTO rollup_day VALUES (begun.stream, begun.day, last_id)
    ON CONFLICT (stream, day) DO UPDATE SET done_to = excluded.done_to;
    RETURN true;
END
$$;

-- Notes all days of a device whose registration changes: they have to be rolled up again.
CREATE OR REPLACE FUNCTION note_changed_device() RETURNS trigger
LANGUAGE plpgsql SET timezone = 'UTC' AS $$
DECLARE
    of_stream CONSTANT text := TG_ARGV[0];
    of_device CONSTANT text := CASE of_stream WHEN 'meter' THEN to_jsonb(coalesce(NEW, OLD)) ->> 'meter_id'
                                              ELSE to_jsonb(coalesce(NEW, OLD)) ->> 'vehicle_id' END;
BEGIN
    INSERT INTO rollup_due (stream, devices, hours)
    SELECT of_stream, array_agg(of_device), array_agg(midnight_hour(rolled.day))
    FROM (
        SELECT min(day) AS first_day, max(day) AS last_day FROM energy_rollup WHERE stream = of_stream
    ) AS kept
    CROSS JOIN generate_series(kept.first_day, kept.last_day, interval '1 day') AS asked (day)
    JOIN energy_rollup AS rolled
        ON rolled.stream = of_stream AND rolled.day = asked.day::date AND rolled.device_id = of_device
    LEFT JOIN device ON device.stream = of_stream AND device.device_id = of_device
    WHERE NOT is_rolled_as(rolled, coalesce(device.is_register, false), coalesce(device.every, '1 minute'),
                           device.capacity_kw, device.modulus_kwh)
    HAVING count(*) > 0;
    RETURN NULL;
END
$$;

CREATE OR REPLACE TRIGGER note_changed_meter AFTER INSERT OR UPDATE OR DELETE ON meter
FOR EACH ROW EXECUTE FUNCTION note_changed_device('meter');

CREATE OR REPLACE TRIGGER note_changed_vehicle AFTER INSERT OR UPDATE OR DELETE ON vehicle
FOR EACH ROW EXECUTE FUNCTION note_changed_device('vehicle');
