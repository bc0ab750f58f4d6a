-- Goes back to version 3. What is kept by the hour is computed anew from readings, so nothing is lost with its tables.
-- `history_removed` stays: nothing else knows what it says, and version 3 does not use it. So do the triggers that note
-- what is changed by hand: `roll_up` of version 3 works their notes off like its own.
-- The functions are those of version 3, word for word, so that its `schema check` finds nothing.

-- An upgrade from before version 3 makes only the functions of the newest version.
DO $$
BEGIN
    IF to_regclass('energy_rollup') IS NULL OR to_regproc('is_rolled_as') IS NULL THEN
        RAISE EXCEPTION 'this database never had the functions of version 3';
    END IF;
END
$$;

DROP FUNCTION IF EXISTS vehicle_performance(text, timestamptz, timestamptz);
DROP FUNCTION IF EXISTS kept_of_vehicle(text, integer, integer, timestamptz);
DROP FUNCTION IF EXISTS doubtful_days(text[], date, date, timestamptz);
DROP FUNCTION IF EXISTS vehicles_noted(text[], text[], integer[]);
DROP FUNCTION IF EXISTS open_days(date, date);
DROP FUNCTION IF EXISTS has_readings(date);
DROP FUNCTION IF EXISTS vehicle_status(numeric, numeric, boolean, boolean);
DROP FUNCTION IF EXISTS microseconds(interval);
-- It asks what is kept, and `note_changed_device` does its work again.
DROP FUNCTION IF EXISTS note_facts() CASCADE;
DROP TABLE IF EXISTS vehicle_day, vehicle_due, vehicle_day_done;

DROP TRIGGER IF EXISTS keep_new_meter_facts ON meter;
DROP TRIGGER IF EXISTS keep_new_vehicle_facts ON vehicle;

-- Keeps `device_facts`, whatever code writes the registry: a replica that knows nothing of `valid_from` changes
-- the newest facts from their own time on.
CREATE OR REPLACE FUNCTION keep_facts() RETURNS trigger
LANGUAGE plpgsql AS $$
DECLARE
    of_stream CONSTANT text := TG_ARGV[0];
    is_id     CONSTANT text := to_jsonb(NEW) ->> (of_stream || '_id');
    was_id    CONSTANT text := to_jsonb(OLD) ->> (of_stream || '_id');
BEGIN
    IF TG_OP = 'TRUNCATE' THEN
        DELETE FROM device_facts WHERE stream = of_stream;
        RETURN NULL;
    END IF;
    IF was_id <> is_id OR is_id IS NULL THEN
        DELETE FROM device_facts WHERE stream = of_stream AND device_id = was_id;
    ELSIF TG_OP = 'UPDATE' AND NEW.valid_from < OLD.valid_from THEN
        DELETE FROM device_facts
        WHERE stream = of_stream AND device_id = is_id AND valid_from > NEW.valid_from;
    END IF;
    INSERT INTO device_facts AS known
    SELECT * FROM newest_facts WHERE stream = of_stream AND device_id = is_id
    ON CONFLICT (stream, device_id, valid_from) DO UPDATE
    SET (reading_kind, reading_interval_seconds, capacity_kw, register_modulus_kwh, register_step_kwh,
         reports_only_while_charging)
      = (excluded.reading_kind, excluded.reading_interval_seconds, excluded.capacity_kw,
         excluded.register_modulus_kwh, excluded.register_step_kwh, excluded.reports_only_while_charging)
    WHERE known.* IS DISTINCT FROM excluded.*;
    RETURN NULL;
END
$$;

CREATE OR REPLACE TRIGGER keep_meter_facts AFTER INSERT OR UPDATE OR DELETE ON meter
FOR EACH ROW EXECUTE FUNCTION keep_facts('meter');

CREATE OR REPLACE TRIGGER keep_vehicle_facts AFTER INSERT OR UPDATE OR DELETE ON vehicle
FOR EACH ROW EXECUTE FUNCTION keep_facts('vehicle');

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

-- Its fourth argument can be left out again.
DO $$
DECLARE
    asked CONSTANT regprocedure := 'vehicle_performance(text, timestamptz, timestamptz, text)'::regprocedure;
BEGIN
    EXECUTE regexp_replace(pg_get_functiondef(asked), 'of_meter text(?! DEFAULT)', 'of_meter text DEFAULT NULL::text');
END
$$;
