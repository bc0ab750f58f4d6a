-- Rollups: what each device's hours come to, so that questions about the whole fleet stay fast. Applied
-- after energy.sql.
--
-- They are never trusted stale. A flush notes in its own transaction which hours of which devices it has
-- touched (`rollup_due`, one row a batch); whoever reads sees readings and notes in one snapshot, takes
-- what is noted from history, and only the rest from here. A day that is not here is taken from history
-- too, unless it is known to be complete (`rollup_day`); and so is a device that was something else when
-- it was rolled up. So the answer is that of history, always, and `roll_up` decides only how fast it comes.

-- Both histories, and both registries, under the names that they share.
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

CREATE OR REPLACE VIEW device AS
SELECT 'meter' AS stream, meter_id AS device_id, reading_kind = 'register' AS is_register,
       make_interval(secs => reading_interval_seconds) AS every, capacity_kw, register_modulus_kwh AS modulus_kwh
FROM meter
UNION ALL
SELECT 'vehicle', vehicle_id, reading_kind = 'register', make_interval(secs => reading_interval_seconds), NULL, NULL
FROM vehicle;

-- Hours that a flush has touched: device and hour by their place in the two arrays, hours since 1970. A
-- reading on the hour belongs to the hour that it ends.
CREATE TABLE IF NOT EXISTS rollup_due (
    due_id  bigint    GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    stream  text      NOT NULL CHECK (stream IN ('meter', 'vehicle')),
    devices text[]    NOT NULL,
    hours   integer[] NOT NULL,
    pairs   integer   NOT NULL GENERATED ALWAYS AS (cardinality(hours)) STORED
) WITH (autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_cost_delay = 0);
ALTER TABLE rollup_due ALTER devices SET STORAGE EXTERNAL, ALTER hours SET STORAGE EXTERNAL;

-- Older schemas did not say how much a note holds. Looked for first: ALTER TABLE locks writers out.
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_attribute
                   WHERE attrelid = 'rollup_due'::regclass AND attname = 'pairs' AND NOT attisdropped) THEN
        ALTER TABLE rollup_due ADD pairs integer NOT NULL GENERATED ALWAYS AS (cardinality(hours)) STORED;
    END IF;
END
$$;

-- Days of which every device is rolled up or noted, so that one that is not here has no readings on them.
-- `done_to`: the device up to which that has been seen to, null once it has been for all.
CREATE TABLE IF NOT EXISTS rollup_day (
    stream  text NOT NULL,
    day     date NOT NULL,
    done_to text COLLATE "C",
    PRIMARY KEY (stream, day)
);

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

-- A device's day. Element k of an array is about the k-1 hours since midnight UTC, so there are 25;
-- `first_after` is the day's first reading after them.
--   energy   nanokilowatt-hours, null where they do not fit; a register's first reading of the day is a
--            baseline only
--   covered  microseconds that an interval device's readings cover, each back to the one before it
--   last_at  the day's last reading
--   is_held  that a register stood below its baseline at some time
--   before_at  the last reading before the day, where it is of the last hour
--   is_register … modulus_kwh  what the device was when it was rolled up
CREATE TABLE IF NOT EXISTS energy_rollup (
    stream      text             NOT NULL,
    day         date             NOT NULL,
    device_id   text COLLATE "C" NOT NULL,
    energy      bigint[]         NOT NULL,
    covered     bigint[]         NOT NULL,
    last_at     timestamptz[]    NOT NULL,
    first_after timestamptz[]    NOT NULL,
    is_held     boolean          NOT NULL DEFAULT false,
    before_at   timestamptz,
    first_value double precision,
    last_value  double precision,
    is_register boolean          NOT NULL,
    every       interval         NOT NULL,
    capacity_kw double precision,
    modulus_kwh double precision,
    PRIMARY KEY (stream, day, device_id)
) WITH (fillfactor = 60, autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_cost_delay = 0);

-- Computes the day of some devices anew, each named once, from the hour (0 to 23) on that was touched; the
-- hours before it are kept.
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
            AND old.is_register = coalesce(device.is_register, false) AND old.every = coalesce(device.every, '1 minute')
            AND old.capacity_kw IS NOT DISTINCT FROM device.capacity_kw
            AND old.modulus_kwh IS NOT DISTINCT FROM device.modulus_kwh
    ), touched AS (
        SELECT a.device_id, a.is_register, a.every, a.capacity_kw, a.modulus_kwh, a.from_hour,
               midnight + make_interval(hours => a.from_hour) AS kept_to,
               a.energy, a.covered, a.last_at, a.first_after,
               CASE WHEN a.from_hour > 0 THEN a.before_at ELSE (
                   SELECT max(reading.recorded_at) FROM reading
                   WHERE reading.stream = of_stream AND reading.device_id = a.device_id
                     AND reading.recorded_at > midnight - interval '1 hour' AND reading.recorded_at <= midnight
               ) END AS before_at
        FROM asked AS a
    )
    SELECT of_stream, of_day, t.device_id,
           coalesce(t.energy[1:t.from_hour + 1], '{0}') || fresh.energy,
           coalesce(t.covered[1:t.from_hour + 1], '{0}') || fresh.covered,
           coalesce(t.last_at[1:t.from_hour + 1], '{NULL}') || fresh.last_at,
           CASE WHEN t.from_hour = 0 THEN '{}'
                WHEN t.first_after[t.from_hour] <= t.kept_to THEN t.first_after[1:t.from_hour]
                ELSE ARRAY(SELECT CASE WHEN known.at <= t.kept_to THEN known.at ELSE fresh.first_at END
                           FROM unnest(t.first_after[1:t.from_hour]) WITH ORDINALITY AS known (at, place)
                           ORDER BY known.place) END || fresh.first_at || fresh.first_after,
           coalesce(fresh.is_held, false), t.before_at,
           CASE WHEN t.is_register THEN (
               SELECT reading.kwh FROM reading
               WHERE reading.stream = of_stream AND reading.device_id = t.device_id
                 AND reading.recorded_at > midnight AND reading.recorded_at <= midnight + interval '24 hours'
               ORDER BY reading.recorded_at LIMIT 1) END,
           CASE WHEN t.is_register THEN (
               SELECT reading.kwh FROM reading
               WHERE reading.stream = of_stream AND reading.device_id = t.device_id
                 AND reading.recorded_at > midnight AND reading.recorded_at <= midnight + interval '24 hours'
               ORDER BY reading.recorded_at DESC LIMIT 1) END,
           t.is_register, t.every, t.capacity_kw, t.modulus_kwh
    FROM touched AS t
    CROSS JOIN LATERAL (
        SELECT array_agg(CASE WHEN abs(b.energy) < 4e18 THEN b.energy::bigint END ORDER BY b.k) AS energy,
               array_agg((date_part('epoch', b.covered) * 1e6)::bigint + coalesce(t.covered[t.from_hour + 1], 0) ORDER BY b.k) AS covered,
               array_agg(coalesce(b.last_at, t.last_at[t.from_hour + 1]) ORDER BY b.k) AS last_at,
               array_agg(b.first_after ORDER BY b.k) AS first_after,
               min(b.first_at) AS first_at, bool_or(b.is_held) AS is_held
        FROM (
            -- Hour k ends at boundary k.
            SELECT k, h.first_at, h.is_held,
                   coalesce(t.energy[t.from_hour + 1], 0) + coalesce(sum(h.energy) OVER so_far, 0) AS energy,
                   coalesce(sum(h.covered) OVER so_far, '0') AS covered,
                   max(h.last_at) OVER so_far AS last_at,
                   min(h.first_at) OVER (ORDER BY k ROWS BETWEEN 1 FOLLOWING AND UNBOUNDED FOLLOWING) AS first_after
            FROM generate_series(t.from_hour + 1, 24) AS k
            LEFT JOIN (
                SELECT date_part('hour', r.recorded_at - interval '1 microsecond')::integer + 1 AS hour,
                       sum(r.energy) AS energy, sum(r.covered) AS covered,
                       max(r.recorded_at) AS last_at, min(r.recorded_at) AS first_at, bool_or(r.is_held) AS is_held
                FROM (
                    SELECT i.recorded_at, round(i.kwh * 1e9)::bigint AS energy, false AS is_held,
                           least(t.every, i.recorded_at - coalesce(
                               lag(i.recorded_at) OVER (ORDER BY i.recorded_at),
                               t.last_at[t.from_hour + 1], t.before_at)) AS covered
                    FROM reading AS i
                    WHERE NOT t.is_register AND i.stream = of_stream AND i.device_id = t.device_id
                      AND i.recorded_at > t.kept_to AND i.recorded_at <= midnight + interval '24 hours'
                    UNION ALL
                    SELECT g.recorded_at, (g.state).energy,
                           (g.state).baseline > g.kwh
                               OR lag((g.state).baseline > g.kwh, 1, false) OVER (ORDER BY g.recorded_at),
                           interval '0'
                    FROM (
                        SELECT i.recorded_at, i.kwh,
                               register(i.kwh, i.recorded_at, t.capacity_kw, t.modulus_kwh)
                                   OVER (ORDER BY i.recorded_at) AS state
                        FROM reading AS i
                        WHERE t.is_register AND i.stream = of_stream AND i.device_id = t.device_id
                          AND i.recorded_at > midnight AND i.recorded_at <= midnight + interval '24 hours'
                          -- With the last one before, which the first is compared with.
                          AND i.recorded_at >= coalesce(t.last_at[t.from_hour + 1], midnight)
                    ) AS g
                ) AS r
                WHERE r.recorded_at > t.kept_to
                GROUP BY 1
            ) AS h ON h.hour = k
            WINDOW so_far AS (ORDER BY k)
        ) AS b
    ) AS fresh
    WHERE coalesce(fresh.first_at, t.last_at[t.from_hour + 1]) IS NOT NULL
    ON CONFLICT (stream, day, device_id) DO UPDATE
    SET energy = excluded.energy, covered = excluded.covered, last_at = excluded.last_at,
        first_after = excluded.first_after, is_held = excluded.is_held,
        before_at = excluded.before_at, first_value = excluded.first_value,
        last_value = excluded.last_value, is_register = excluded.is_register, every = excluded.every,
        capacity_kw = excluded.capacity_kw, modulus_kwh = excluded.modulus_kwh;

    -- The day after goes back to a reading of this one. It is computed anew where that is another by now.
    INSERT INTO rollup_due (stream, devices, hours)
    SELECT of_stream, array_agg(following.device_id), array_agg((following.day - date '1970-01-01') * 24)
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

-- Works off notes for about a second, the newest first, and returns how many it took, at the most so many.
-- As many as `most` says that more are left; null that somebody else does it, and nothing was done.
-- What is taken and not worked off is noted again: by device and day, its first hour.
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
    IF NOT pg_try_advisory_xact_lock(131260449292293) THEN
        RETURN NULL;
    END IF;
    CREATE TEMPORARY TABLE IF NOT EXISTS rollup_taken (LIKE rollup_due) ON COMMIT DELETE ROWS;
    DELETE FROM rollup_taken;  -- of a call before in the same transaction
    SELECT count(*) INTO noted FROM (SELECT FROM rollup_due LIMIT most) AS seen;
    -- A note is of one batch. One is taken in any case, and no more than a second could be enough for.
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
            -- How much a device's day is differs by the thousand.
            size := CASE WHEN clock_timestamp() - chunk_at < interval '100 milliseconds' THEN least(size * 2, 1280)
                         ELSE greatest(size / 2, 1) END;
            is_over := clock_timestamp() - began > interval '1 second';
        END LOOP;
        IF chunk_from <= cardinality(touched.devices) THEN
            worked_off := most;
            INSERT INTO rollup_due (stream, devices, hours)
            SELECT touched.stream, touched.devices[chunk_from:],
                   array_agg((touched.day - date '1970-01-01') * 24 + hour ORDER BY place)
            FROM unnest(touched.hours[chunk_from:]) WITH ORDINALITY AS rest (hour, place);
        END IF;
    END LOOP;
    RETURN CASE WHEN worked_off < noted THEN most ELSE worked_off END;
END
$$;

-- Completes the newest day before `today` that is not complete: rolls up those of its next devices that
-- are not, at the most so many. Returns whether there was anything to do; null while somebody else rolls up.
CREATE OR REPLACE FUNCTION complete_a_day(first_kept date, today date, most integer DEFAULT 200) RETURNS boolean
LANGUAGE plpgsql SET plan_cache_mode = force_custom_plan SET timezone = 'UTC' AS $$
DECLARE
    begun   rollup_day;
    last_id text;
    missing text[];
BEGIN
    IF NOT pg_try_advisory_xact_lock(131260449292293) THEN
        RETURN NULL;
    END IF;
    SELECT open.of_stream, open.day, open.done_to INTO begun
    FROM (
        -- In this order, so that history is looked at only until there is one.
        SELECT of_stream, asked.day::date AS day, coalesce(d.done_to, '') AS done_to
        FROM generate_series(first_kept, today - 1, interval '1 day') AS asked (day)
        CROSS JOIN unnest(ARRAY['meter', 'vehicle']) AS of_stream
        LEFT JOIN rollup_day AS d ON d.stream = of_stream AND d.day = asked.day::date
        WHERE d.day IS NULL OR d.done_to IS NOT NULL
        ORDER BY asked.day DESC, of_stream
        OFFSET 0
    ) AS open
    WHERE has_readings(open.of_stream, open.day)
    LIMIT 1;
    IF begun.day IS NULL THEN
        RETURN false;
    END IF;
    WITH RECURSIVE next AS (
        -- From one device of the index to the next, whatever the readings of each.
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

-- A device that becomes something else is to be rolled up anew.
CREATE OR REPLACE FUNCTION note_changed_device() RETURNS trigger
LANGUAGE plpgsql SET timezone = 'UTC' AS $$
DECLARE
    of_stream CONSTANT text := TG_ARGV[0];
    of_device CONSTANT text := CASE of_stream WHEN 'meter' THEN to_jsonb(coalesce(NEW, OLD)) ->> 'meter_id'
                                              ELSE to_jsonb(coalesce(NEW, OLD)) ->> 'vehicle_id' END;
BEGIN
    INSERT INTO rollup_due (stream, devices, hours)
    SELECT of_stream, array_agg(of_device), array_agg((rolled.day - date '1970-01-01') * 24)
    FROM (
        SELECT min(day) AS first_day, max(day) AS last_day FROM energy_rollup WHERE stream = of_stream
    ) AS kept
    CROSS JOIN generate_series(kept.first_day, kept.last_day, interval '1 day') AS asked (day)
    JOIN energy_rollup AS rolled
        ON rolled.stream = of_stream AND rolled.day = asked.day::date AND rolled.device_id = of_device
    LEFT JOIN device ON device.stream = of_stream AND device.device_id = of_device
    WHERE (rolled.is_register, rolled.every, rolled.capacity_kw, rolled.modulus_kwh) IS DISTINCT FROM
          (coalesce(device.is_register, false), coalesce(device.every, '1 minute'), device.capacity_kw, device.modulus_kwh)
    HAVING count(*) > 0;
    RETURN NULL;
END
$$;

CREATE OR REPLACE TRIGGER note_changed_meter AFTER INSERT OR UPDATE OR DELETE ON meter
FOR EACH ROW EXECUTE FUNCTION note_changed_device('meter');

CREATE OR REPLACE TRIGGER note_changed_vehicle AFTER INSERT OR UPDATE OR DELETE ON vehicle
FOR EACH ROW EXECUTE FUNCTION note_changed_device('vehicle');

-- What each of some spans of a window comes to: the energy of its device in nanokilowatt-hours, and for how
-- long something is known of it. Spans are numbered from 1, by their place in the three arrays. From
-- rollups as far as they go, from history where they do not. A span without times comes to nothing.
CREATE OR REPLACE FUNCTION span_energy(
    of_stream text, window_start timestamptz, window_end timestamptz,
    devices text[], starts timestamptz[], ends timestamptz[]
) RETURNS TABLE (number bigint, energy numeric, covered interval)
LANGUAGE plpgsql STABLE SET plan_cache_mode = force_custom_plan SET work_mem = '8MB' SET timezone = 'UTC' AS $$
DECLARE
    first_day CONSTANT date := window_start::date;
    last_day  CONSTANT date := (window_end - interval '1 microsecond')::date;
    -- Days on which a device that is not rolled up may have readings all the same.
    open_days CONSTANT date[] := ARRAY(
        SELECT asked.day::date
        FROM generate_series(first_day, last_day, interval '1 day') AS asked (day)
        WHERE NOT EXISTS (SELECT FROM rollup_day AS d
                          WHERE d.stream = of_stream AND d.day = asked.day::date AND d.done_to IS NULL)
          AND has_readings(of_stream, asked.day::date)
        ORDER BY 1);
BEGIN
    RETURN QUERY
    WITH dirty AS (
        -- From this hour on, history. The day before counts too: a day's first reading goes back to it.
        SELECT pair.device_id, min(pair.hour) AS hour
        FROM rollup_due AS due, unnest(due.devices, due.hours) AS pair (device_id, hour)
        WHERE due.stream = of_stream AND pair.hour >= (first_day - 1 - date '1970-01-01') * 24
        GROUP BY 1
    ), span AS MATERIALIZED (
        SELECT s.number, s.device_id, s.began, s.ended, s.until, s.is_clean,
               s.is_register, s.every, s.capacity_kw, s.modulus_kwh,
               -- Rollups know whole hours, since 1970 here.
               ceil(hours.began)::integer AS from_hour, floor(hours.until)::integer AS until_hour,
               ceil(hours.began) > hours.began AS has_head,
               (s.is_register OR s.every <= interval '1 hour') AND ceil(hours.began) < hours.until AS is_rolled
        FROM (
            SELECT asked.number, asked.device_id, asked.began, asked.ended,
                   coalesce(m.reading_kind, v.reading_kind) IS NOT DISTINCT FROM 'register' AS is_register,
                   make_interval(secs => coalesce(m.reading_interval_seconds, v.reading_interval_seconds, 60)) AS every,
                   m.capacity_kw, m.register_modulus_kwh AS modulus_kwh,
                   least(asked.ended, timestamptz 'epoch' + make_interval(hours => dirty.hour)) AS until,
                   coalesce(timestamptz 'epoch' + make_interval(hours => dirty.hour) >= asked.ended, true) AS is_clean
            FROM unnest(devices, starts, ends) WITH ORDINALITY AS asked (device_id, began, ended, number)
            -- Not by the view: how many rows that has of a device the planner does not know.
            LEFT JOIN meter AS m ON of_stream = 'meter' AND m.meter_id = asked.device_id
            LEFT JOIN vehicle AS v ON of_stream = 'vehicle' AND v.vehicle_id = asked.device_id
            LEFT JOIN dirty ON dirty.device_id = asked.device_id
        ) AS s
        CROSS JOIN LATERAL (SELECT date_part('epoch', s.began) / 3600 AS began,
                                   date_part('epoch', s.until) / 3600 AS until) AS hours
    ), rolled AS NOT MATERIALIZED (
        SELECT s.number, s.device_id, s.is_register, s.capacity_kw, s.modulus_kwh, r.day,
               r.is_register = s.is_register AND r.every = s.every AND r.capacity_kw IS NOT DISTINCT FROM s.capacity_kw
                   AND r.modulus_kwh IS NOT DISTINCT FROM s.modulus_kwh AND NOT r.is_held AND r.energy[25] IS NOT NULL AS is_good,
               r.energy[edge.high + 1] - r.energy[edge.low + 1] AS energy,
               r.covered[edge.high + 1] - r.covered[edge.low + 1] AS covered,
               r.first_after[edge.low + 1] AS first_at, r.last_at[edge.high + 1] AS last_at,
               r.last_at[edge.low + 1] AS day_before_at, r.before_at, r.first_value, r.first_after[1] AS day_first_at, s.until,
               -- Where it ends although the day goes on.
               CASE WHEN edge.high < 24 AND midnight.hour <= s.until_hour THEN s.until_hour END AS cut_hour
        FROM span AS s
        JOIN energy_rollup AS r ON r.stream = of_stream AND r.device_id = s.device_id
            AND r.day BETWEEN first_day AND last_day
        CROSS JOIN LATERAL (SELECT (r.day - date '1970-01-01') * 24 AS hour) AS midnight
        CROSS JOIN LATERAL (
            -- Days beside the span are none of it: both are 24 before it, and 0 after it.
            SELECT least(24, greatest(0, s.from_hour - midnight.hour)) AS low,
                   CASE WHEN s.until_hour - midnight.hour >= 24 OR s.is_clean AND r.last_at[25] <= s.until THEN 24
                        ELSE greatest(0, s.until_hour - midnight.hour) END AS high
        ) AS edge
        WHERE s.is_rolled
    ), whole AS MATERIALIZED (
        SELECT r.number, bool_and(r.is_good) AS is_good, sum(r.energy) AS energy, sum(r.covered) AS covered,
               min(r.first_at) FILTER (WHERE r.first_at <= r.last_at) AS first_at, max(r.last_at) AS last_at,
               min(coalesce(r.day_before_at, r.before_at)) FILTER (WHERE r.first_at <= r.last_at) AS previous_at,
               max(r.cut_hour) AS cut_hour,
               count(*) FILTER (WHERE r.day = ANY (open_days)) AS open_rolled, max(r.day) AS last_day
        FROM rolled AS r
        GROUP BY r.number
    ), joint AS MATERIALIZED (
        -- What a register gained from its last reading before a day to the first one of it. That must not
        -- leave it below its baseline, before the span neither: what it is compared with begins at the window's.
        SELECT r.number, before.recorded_at AS previous_at, (step.state).energy,
               (step.state).baseline IS NOT DISTINCT FROM r.first_value OR before.recorded_at IS NULL AS is_good,
               r.day_before_at IS NULL AND r.first_at <= r.last_at AS is_in_span
        FROM rolled AS r
        LEFT JOIN energy_rollup AS yesterday ON yesterday.stream = of_stream
            AND yesterday.device_id = r.device_id AND yesterday.day = r.day - 1
        LEFT JOIN LATERAL (
            SELECT yesterday.last_at[25] AS recorded_at, yesterday.last_value AS kwh WHERE yesterday.is_register
            UNION ALL
            SELECT last.* FROM last_reading(of_stream, r.device_id, r.day::timestamptz) AS last
            WHERE yesterday.is_register IS NOT TRUE
        ) AS before ON true
        CROSS JOIN LATERAL (
            SELECT register_step(ROW(before.kwh, before.recorded_at, 0, false)::register_state, r.first_value,
                                 r.day_first_at, r.capacity_kw, r.modulus_kwh) AS state
        ) AS step
        WHERE r.is_register AND r.day_first_at > window_start AND r.day_first_at <= r.until
    ), composed AS MATERIALIZED (
        SELECT s.*, w.energy, w.covered, w.first_at, w.last_at, w.previous_at,
               -- From here on, history.
               least(CASE WHEN NOT s.is_clean THEN s.until
                          ELSE timestamptz 'epoch' + make_interval(hours => w.cut_hour) END,
                     missing.day::timestamptz) AS tail_from
        FROM span AS s
        LEFT JOIN whole AS w USING (number)
        -- The first day that has to come from history; nothing after it may come from rollups.
        CROSS JOIN LATERAL (SELECT open_days[coalesce(w.open_rolled, 0) + 1] AS day) AS missing
        WHERE s.is_rolled AND w.is_good IS NOT FALSE
          AND (missing.day IS NULL OR s.from_hour < (missing.day - date '1970-01-01') * 24
                                      AND (w.last_day IS NULL OR w.last_day < missing.day))
          -- Not by NOT EXISTS, here and below: of few rows the planner makes a loop of that, and few is
          -- what it takes them to be.
          AND s.number NOT IN (SELECT j.number FROM joint AS j WHERE NOT j.is_good)
    ), left_over AS MATERIALIZED (
        SELECT s.* FROM span AS s WHERE s.number NOT IN (SELECT c.number FROM composed AS c)
    ), counted AS MATERIALIZED (
        -- Each register once, however many spans are of it.
        SELECT one.device_id, e.recorded_at, e.previous_at, e.energy,
               floor(date_part('epoch', e.recorded_at) / 3600)::integer AS hour
        FROM (SELECT DISTINCT l.device_id FROM left_over AS l WHERE l.is_register) AS one
        CROSS JOIN LATERAL (
            SELECT m.recorded_at, m.previous_at, m.energy FROM meter_energy(one.device_id, window_start, window_end) AS m
            WHERE of_stream = 'meter'
            UNION ALL
            SELECT v.recorded_at, v.previous_at, v.energy FROM vehicle_energy(one.device_id, window_start, window_end) AS v
            WHERE of_stream = 'vehicle'
        ) AS e
    ), edge AS (
        SELECT c.number, c.device_id, c.is_register, c.every, c.capacity_kw, c.modulus_kwh, NULL::timestamptz AS previous_at,
               c.began AS edge_start, timestamptz 'epoch' + make_interval(hours => c.from_hour) AS edge_end
        FROM composed AS c WHERE c.has_head
        UNION ALL
        SELECT c.number, c.device_id, c.is_register, c.every, c.capacity_kw, c.modulus_kwh, c.last_at, c.tail_from, c.ended
        FROM composed AS c WHERE c.tail_from < c.ended
    ), rest AS (
        SELECT j.number, j.energy, NULL::interval AS covered, NULL::timestamptz AS first_at,
               NULL::timestamptz AS last_at, j.previous_at
        FROM joint AS j WHERE j.is_in_span
        UNION ALL
        SELECT i.number, i.energy, least(i.every, i.recorded_at - i.previous_at), i.recorded_at, i.recorded_at, i.previous_at
        FROM (
            SELECT e.number, e.every, r.*
            FROM edge AS e
            CROSS JOIN LATERAL (
                -- Where the one before is not known it is more than an interval ago, or before the span.
                SELECT reading.recorded_at, round(reading.kwh * 1e9)::bigint AS energy,
                       lag(reading.recorded_at, 1, e.previous_at) OVER (ORDER BY reading.recorded_at) AS previous_at
                FROM reading
                WHERE reading.stream = of_stream AND reading.device_id = e.device_id
                  AND reading.recorded_at > e.edge_start AND reading.recorded_at <= e.edge_end
            ) AS r
            WHERE NOT e.is_register
        ) AS i
        UNION ALL
        SELECT g.number, (g.state).energy, NULL, g.recorded_at, g.recorded_at, g.previous_at
        FROM (
            SELECT e.number, e.edge_start, r.*
            FROM edge AS e
            CROSS JOIN LATERAL (
                SELECT one.recorded_at, lag(one.recorded_at) OVER (ORDER BY one.recorded_at) AS previous_at,
                       register(one.kwh, one.recorded_at, e.capacity_kw, e.modulus_kwh)
                           OVER (ORDER BY one.recorded_at) AS state
                FROM (
                    SELECT last.* FROM last_reading(of_stream, e.device_id, e.edge_start) AS last
                    UNION ALL
                    SELECT reading.recorded_at, reading.kwh FROM reading
                    WHERE reading.stream = of_stream AND reading.device_id = e.device_id
                      AND reading.recorded_at > e.edge_start AND reading.recorded_at <= e.edge_end
                ) AS one
            ) AS r
            WHERE e.is_register
        ) AS g
        WHERE g.recorded_at > g.edge_start
    ), more AS (
        SELECT rest.number, sum(rest.energy) AS energy, sum(rest.covered) AS covered,
               min(rest.first_at) AS first_at, max(rest.last_at) AS last_at, min(rest.previous_at) AS previous_at
        FROM rest
        GROUP BY rest.number
    )
    SELECT t.number, t.energy,
           CASE WHEN t.first_at IS NULL THEN interval '0'
                WHEN t.is_register THEN t.last_at - greatest(t.began, coalesce(t.previous_at, t.first_at))
                -- The first one goes back to the span's beginning at the most.
                ELSE t.covered - least(t.every, t.first_at - t.previous_at)
                     + least(t.every, t.first_at - greatest(t.began, t.previous_at)) END
    FROM (
        SELECT c.number, c.began, c.every, c.is_register,
               coalesce(c.energy, 0) + coalesce(m.energy, 0) AS energy,
               coalesce(c.covered::float8, 0) * interval '1 microsecond' + coalesce(m.covered, '0') AS covered,
               least(c.first_at, m.first_at) AS first_at, greatest(c.last_at, m.last_at) AS last_at,
               -- That of the span's first reading; one in the span is of a later reading.
               CASE WHEN least(c.previous_at, m.previous_at) < least(c.first_at, m.first_at)
                    THEN least(c.previous_at, m.previous_at) END AS previous_at
        FROM composed AS c
        LEFT JOIN more AS m USING (number)
    ) AS t
    UNION ALL
    SELECT l.number, coalesce(raw.energy, 0), coalesce(raw.covered, '0')
    FROM left_over AS l
    CROSS JOIN LATERAL (
        -- What the functions of one device say. They are planned anew for each, and devices may be many.
        SELECT sum(round(i.kwh * 1e9)::bigint) AS energy,
               sum(i.recorded_at - greatest(l.began, i.previous_at, i.recorded_at - l.every)) AS covered
        FROM (
            SELECT reading.recorded_at, reading.kwh, lag(reading.recorded_at) OVER (ORDER BY reading.recorded_at) AS previous_at
            FROM reading
            WHERE reading.stream = of_stream AND reading.device_id = l.device_id
              AND reading.recorded_at > l.began AND reading.recorded_at <= l.ended
        ) AS i
    ) AS raw
    WHERE NOT l.is_register
    UNION ALL
    SELECT l.number, coalesce(sum(c.energy), 0),
           coalesce(max(c.recorded_at) - min(greatest(l.began, coalesce(c.previous_at, c.recorded_at)))
                                         FILTER (WHERE c.recorded_at IS NOT NULL), '0')
    FROM left_over AS l
    -- By the hour, or each span would be compared with each reading.
    LEFT JOIN LATERAL generate_series(floor(date_part('epoch', l.began) / 3600)::integer,
                                      floor(date_part('epoch', l.ended) / 3600)::integer) AS hour ON true
    LEFT JOIN counted AS c ON c.device_id = l.device_id AND c.hour = hour.hour
        AND c.recorded_at > l.began AND c.recorded_at <= l.ended
    WHERE l.is_register
    GROUP BY l.number;
END
$$;

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
