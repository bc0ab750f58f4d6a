-- Rollups: what each device's hours come to, so that questions about the whole fleet stay fast. Applied
-- after energy.sql.
--
-- They are never trusted stale. A flush notes in its own transaction which hours of which devices it has
-- touched (`rollup_due`, one row a batch); whoever reads sees readings and notes in one snapshot, takes
-- what is noted from history, and only the rest from here. A day that is missing here is taken from
-- history too. So the answer is that of history, always, and `roll_up` decides only how fast it comes.

-- Both histories, and both registries, under the names that they share.
CREATE OR REPLACE VIEW reading AS
SELECT 'meter' AS stream, meter_id AS device_id, recorded_at, kwh_consumed_ac AS kwh FROM meter_history
UNION ALL
SELECT 'vehicle', vehicle_id, recorded_at, kwh_delivered_dc FROM vehicle_history;

CREATE OR REPLACE VIEW device AS
SELECT 'meter' AS stream, meter_id AS device_id, reading_kind, make_interval(secs => reading_interval_seconds) AS every,
       capacity_kw, register_modulus_kwh AS modulus_kwh FROM meter
UNION ALL
SELECT 'vehicle', vehicle_id, reading_kind, make_interval(secs => reading_interval_seconds), NULL, NULL FROM vehicle;

-- Hours that a flush has touched: device and hour by their place in the two arrays, hours since 1970. A
-- reading on the hour belongs to the hour that it ends.
CREATE TABLE IF NOT EXISTS rollup_due (
    due_id  bigint    GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    stream  text      NOT NULL CHECK (stream IN ('meter', 'vehicle')),
    devices text[]    NOT NULL,
    hours   integer[] NOT NULL
) WITH (autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_cost_delay = 0);
ALTER TABLE rollup_due ALTER devices SET STORAGE EXTERNAL, ALTER hours SET STORAGE EXTERNAL;

-- A device's day, by itself: nothing of the day before is in it. Element k of an array is about the k-1
-- hours since midnight UTC, so there are 25; `first_after` is the day's first reading after them.
--   energy   nanokilowatt-hours; a register's first reading of the day is a baseline only
--   covered  microseconds that an interval device's readings cover, since midnight
--   last_at  the day's last reading
--   held     that in the hour that follows a register stood below its baseline (24 elements)
CREATE TABLE IF NOT EXISTS energy_rollup (
    stream      text             NOT NULL,
    day         date             NOT NULL,
    device_id   text COLLATE "C" NOT NULL,
    energy      bigint[]         NOT NULL,
    covered     bigint[]         NOT NULL,
    last_at     timestamptz[]    NOT NULL,
    first_after timestamptz[]    NOT NULL,
    held        boolean[],
    first_value double precision,
    last_value  double precision,
    PRIMARY KEY (stream, day, device_id)
) WITH (fillfactor = 60, autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_cost_delay = 0);

-- Computes the day of some devices anew, from the hour (0 to 23) on that was touched; the hours before
-- it are kept.
CREATE OR REPLACE FUNCTION roll_up_day(of_stream text, of_day date, devices text[], hours integer[])
RETURNS void LANGUAGE plpgsql SET plan_cache_mode = force_custom_plan SET timezone = 'UTC' AS $$
DECLARE
    midnight CONSTANT timestamptz := of_day;
BEGIN
    INSERT INTO energy_rollup AS old (stream, day, device_id, energy, covered, last_at, first_after, held,
                                      first_value, last_value)
    WITH touched AS MATERIALIZED (
        SELECT asked.device_id, coalesce(device.reading_kind = 'register', false) AS is_register,
               coalesce(device.every, '1 minute') AS every, device.capacity_kw, device.modulus_kwh,
               -- A register that stood below its baseline is computed from midnight on.
               CASE WHEN old.device_id IS NULL OR old.held IS NOT NULL THEN 0 ELSE asked.hour END AS from_hour,
               old.energy, old.covered, old.last_at, old.first_after, old.held, old.first_value
        FROM unnest(devices, hours) AS asked (device_id, hour)
        LEFT JOIN device ON device.stream = of_stream AND device.device_id = asked.device_id
        LEFT JOIN energy_rollup AS old
            ON old.stream = of_stream AND old.day = of_day AND old.device_id = asked.device_id
    ), worth AS (
        SELECT t.device_id, r.recorded_at, r.kwh, round(r.kwh * 1e9)::bigint AS energy, false AS is_held,
               least(t.every, r.recorded_at - coalesce(
                   lag(r.recorded_at) OVER (PARTITION BY t.device_id ORDER BY r.recorded_at),
                   t.last_at[t.from_hour + 1], midnight)) AS covered
        FROM touched AS t
        CROSS JOIN LATERAL (
            SELECT reading.recorded_at, reading.kwh FROM reading
            WHERE reading.stream = of_stream AND reading.device_id = t.device_id
              AND reading.recorded_at > midnight AND reading.recorded_at <= midnight + interval '24 hours'
              AND reading.recorded_at > midnight + make_interval(hours => t.from_hour)
        ) AS r
        WHERE NOT t.is_register
        UNION ALL
        SELECT seen.device_id, seen.recorded_at, seen.kwh, (seen.state).energy,
               (seen.state).baseline > seen.kwh
                   OR lag((seen.state).baseline > seen.kwh, 1, false)
                      OVER (PARTITION BY seen.device_id ORDER BY seen.recorded_at),
               interval '0'
        FROM (
            SELECT t.device_id, t.from_hour, r.recorded_at, r.kwh,
                   register(r.kwh, r.recorded_at, t.capacity_kw, t.modulus_kwh)
                       OVER (PARTITION BY t.device_id ORDER BY r.recorded_at) AS state
            FROM touched AS t
            CROSS JOIN LATERAL (
                SELECT reading.recorded_at, reading.kwh FROM reading
                WHERE reading.stream = of_stream AND reading.device_id = t.device_id
                  AND reading.recorded_at > midnight AND reading.recorded_at <= midnight + interval '24 hours'
                  -- With the last one before, which the first is compared with.
                  AND reading.recorded_at >= coalesce(t.last_at[t.from_hour + 1], midnight)
            ) AS r
            WHERE t.is_register
        ) AS seen
        WHERE seen.recorded_at > midnight + make_interval(hours => seen.from_hour)
    ), hourly AS (
        SELECT w.device_id,
               floor(extract(epoch FROM w.recorded_at - midnight - interval '1 microsecond') / 3600)::int AS hour,
               sum(w.energy) AS energy,
               sum(extract(epoch FROM w.covered) * 1e6)::bigint AS covered,
               max(w.recorded_at) AS last_at, min(w.recorded_at) AS first_at, bool_or(w.is_held) AS held
        FROM worth AS w
        GROUP BY 1, 2
    ), boundary AS (
        -- Hour k ends at boundary k, and boundary 0 is midnight.
        SELECT t.device_id, t.from_hour, k,
               CASE WHEN k <= t.from_hour THEN coalesce(t.energy[k + 1], 0)
                    ELSE coalesce(t.energy[t.from_hour + 1], 0) + coalesce(sum(h.energy) OVER so_far, 0) END AS energy,
               CASE WHEN k <= t.from_hour THEN coalesce(t.covered[k + 1], 0)
                    ELSE coalesce(t.covered[t.from_hour + 1], 0) + coalesce(sum(h.covered) OVER so_far, 0) END AS covered,
               CASE WHEN k <= t.from_hour THEN t.last_at[k + 1]
                    ELSE coalesce(max(h.last_at) OVER so_far, t.last_at[t.from_hour + 1]) END AS last_at,
               CASE WHEN k < t.from_hour AND t.first_after[k + 1] <= midnight + make_interval(hours => t.from_hour)
                    THEN t.first_after[k + 1]
                    ELSE min(h.first_at) OVER (PARTITION BY t.device_id ORDER BY k
                                               ROWS BETWEEN 1 FOLLOWING AND UNBOUNDED FOLLOWING) END AS first_after,
               CASE WHEN k <= t.from_hour THEN t.held[k] ELSE coalesce(h.held, false) END AS held
        FROM touched AS t
        CROSS JOIN generate_series(0, 24) AS k
        LEFT JOIN hourly AS h ON h.device_id = t.device_id AND h.hour = k - 1
        WINDOW so_far AS (PARTITION BY t.device_id ORDER BY k)
    )
    SELECT of_stream, of_day, b.device_id,
           array_agg(CASE WHEN abs(b.energy) < 4e18 THEN b.energy::bigint END ORDER BY k),
           array_agg(b.covered::bigint ORDER BY k),
           array_agg(b.last_at ORDER BY k), array_agg(b.first_after ORDER BY k),
           CASE WHEN bool_or(b.held) THEN array_agg(coalesce(b.held, false) ORDER BY k) FILTER (WHERE k > 0) END,
           (SELECT reading.kwh FROM reading
            WHERE reading.stream = of_stream AND reading.device_id = b.device_id
              AND reading.recorded_at = min(b.first_after)),
           (SELECT reading.kwh FROM reading
            WHERE reading.stream = of_stream AND reading.device_id = b.device_id
              AND reading.recorded_at = max(b.last_at))
    FROM boundary AS b
    GROUP BY b.device_id
    -- What does not fit is not kept, and so is taken from history.
    HAVING max(b.last_at) IS NOT NULL AND max(abs(b.energy)) < 4e18
    ON CONFLICT (stream, day, device_id) DO UPDATE
    SET energy = excluded.energy, covered = excluded.covered, last_at = excluded.last_at,
        first_after = excluded.first_after, held = excluded.held,
        first_value = excluded.first_value, last_value = excluded.last_value;
END
$$;

-- Works off the oldest notes, at the most so many, and returns how many they were: null while somebody
-- else does, for an older result must not come after a newer one.
CREATE OR REPLACE FUNCTION roll_up(most integer DEFAULT 200) RETURNS integer
LANGUAGE plpgsql AS $$
DECLARE
    worked_off integer;
    touched    record;
BEGIN
    IF NOT pg_try_advisory_xact_lock(131260449292293) THEN
        RETURN NULL;
    END IF;
    CREATE TEMPORARY TABLE IF NOT EXISTS rollup_taken (LIKE rollup_due) ON COMMIT DELETE ROWS;
    WITH taken AS (
        DELETE FROM rollup_due
        WHERE due_id IN (SELECT due_id FROM rollup_due ORDER BY due_id LIMIT most)
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
    LOOP
        PERFORM roll_up_day(touched.stream, touched.day, touched.devices, touched.hours);
    END LOOP;
    RETURN worked_off;
END
$$;

-- Readings of one device, worth what they are in this window: of whichever stream.
CREATE OR REPLACE FUNCTION device_energy(of_stream text, of_device text, window_start timestamptz, window_end timestamptz)
RETURNS TABLE (recorded_at timestamptz, previous_at timestamptz, energy bigint)
LANGUAGE plpgsql STABLE AS $$
BEGIN
    IF of_stream = 'meter' THEN
        RETURN QUERY SELECT e.recorded_at, e.previous_at, e.energy
                     FROM meter_energy(of_device, window_start, window_end) AS e;
    ELSE
        RETURN QUERY SELECT e.recorded_at, e.previous_at, e.energy
                     FROM vehicle_energy(of_device, window_start, window_end) AS e;
    END IF;
END
$$;

-- What every device that was ever heard of comes to in a window: nanokilowatt-hours, and for how long
-- something is known of it. From rollups as far as they go, from history where they do not.
CREATE OR REPLACE FUNCTION fleet_energy(of_stream text, window_start timestamptz, window_end timestamptz)
RETURNS TABLE (device_id text, energy numeric, covered interval)
LANGUAGE plpgsql STABLE SET plan_cache_mode = force_custom_plan SET timezone = 'UTC' AS $$
DECLARE
    -- Rollups know whole hours: what is before the first of them comes from history.
    whole_from CONSTANT timestamptz :=
        date_trunc('hour', window_start + interval '1 hour' - interval '1 microsecond');
    first_day  CONSTANT date := whole_from::date;
    last_day   CONSTANT date := (window_end - interval '1 microsecond')::date;
BEGIN
    RETURN QUERY
    WITH known AS (
        SELECT meter_id AS device_id FROM meter_current_state WHERE of_stream = 'meter'
        UNION ALL
        SELECT vehicle_id FROM vehicle_current_state WHERE of_stream = 'vehicle'
    ), dirty AS (
        -- From here on, history.
        SELECT pair.device_id, min(timestamptz 'epoch' + make_interval(hours => pair.hour)) AS touched_from
        FROM rollup_due AS due, unnest(due.devices, due.hours) AS pair (device_id, hour)
        WHERE due.stream = of_stream
          AND timestamptz 'epoch' + make_interval(hours => pair.hour) < window_end
          AND timestamptz 'epoch' + make_interval(hours => pair.hour) >= date_trunc('day', window_start) - interval '1 day'
        GROUP BY 1
    ), asked AS MATERIALIZED (
        SELECT known.device_id, coalesce(d.reading_kind = 'register', false) AS is_register,
               coalesce(d.every, '1 minute') AS every, d.capacity_kw, d.modulus_kwh,
               least(window_end, dirty.touched_from) AS until, dirty.touched_from IS NULL AS is_clean
        FROM known
        LEFT JOIN device AS d ON d.stream = of_stream AND d.device_id = known.device_id
        LEFT JOIN dirty ON dirty.device_id = known.device_id
    ), day_part AS MATERIALIZED (
        SELECT a.device_id, a.is_register, a.every, r.day, r.held, r.first_value,
               r.energy[edge.high + 1] - r.energy[edge.low + 1] AS energy,
               r.covered[edge.high + 1] - r.covered[edge.low + 1] AS covered,
               r.first_after[1] AS day_first_at, r.first_after[edge.low + 1] AS next_at, r.last_at[edge.high + 1] AS last_at,
               coalesce(r.last_at[edge.low + 1], edge.midnight) AS rolled_from,
               -- Where rollups end; beyond, history.
               CASE WHEN NOT a.is_clean THEN a.until
                    WHEN edge.high = 24 THEN window_end
                    ELSE edge.midnight + make_interval(hours => edge.high) END AS ends_at,
               r.day = (a.until - interval '1 microsecond')::date AS is_last,
               -- What the register gained from the last reading before the day to the first one of it.
               CASE WHEN a.is_register AND r.first_after[1] > window_start AND before.read_at IS NOT NULL
                    THEN register_step(ROW(before.kwh, before.read_at, 0, false)::register_state, r.first_value,
                                       r.first_after[1], a.capacity_kw, a.modulus_kwh) END AS joint,
               r.first_after[1] <= window_start OR before.read_at <= window_start AS is_known_before
        FROM asked AS a
        JOIN energy_rollup AS r ON r.stream = of_stream AND r.device_id = a.device_id
            AND r.day BETWEEN first_day AND last_day
        CROSS JOIN LATERAL (
            SELECT r.day::timestamptz AS midnight,
                   CASE WHEN r.day = first_day THEN extract(hour FROM whole_from)::int ELSE 0 END AS low,
                   CASE WHEN a.until >= r.day::timestamptz + interval '24 hours' THEN 24
                        WHEN a.is_clean AND r.last_at[25] <= a.until THEN 24
                        ELSE extract(hour FROM a.until)::int END AS high
        ) AS edge
        LEFT JOIN energy_rollup AS yesterday ON a.is_register AND yesterday.stream = of_stream
            AND yesterday.device_id = a.device_id AND yesterday.day = r.day - 1
        LEFT JOIN LATERAL (
            SELECT yesterday.last_at[25] AS read_at, yesterday.last_value AS kwh
            WHERE yesterday.device_id IS NOT NULL
            UNION ALL
            (SELECT reading.recorded_at, reading.kwh FROM reading
             WHERE reading.stream = of_stream AND reading.device_id = a.device_id
               AND reading.recorded_at <= r.day::timestamptz AND yesterday.device_id IS NULL
             ORDER BY reading.recorded_at DESC LIMIT 1)
        ) AS before ON a.is_register
        WHERE a.until > r.day::timestamptz AND a.until > whole_from
    ), composed AS MATERIALIZED (
        -- Devices of which every day that is needed is there, and nothing odd about any of them.
        SELECT p.device_id
        FROM day_part AS p
        JOIN asked AS a USING (device_id)
        GROUP BY p.device_id, a.until, a.every, a.is_register
        HAVING count(*) = (a.until - interval '1 microsecond')::date - first_day + 1
           AND (a.every <= interval '1 hour' OR a.is_register)
           AND NOT bool_or(p.held IS NOT NULL OR (p.joint).baseline IS DISTINCT FROM p.first_value AND p.joint IS NOT NULL)
    ), part AS (
        -- History before the first whole hour.
        SELECT a.device_id, 0 AS place, sum(e.energy) AS energy,
               min(e.recorded_at) AS first_at, max(e.recorded_at) AS last_at,
               sum(least(a.every, e.recorded_at - e.previous_at)) FILTER (WHERE e.previous_at > window_start) AS covered,
               bool_or(e.previous_at <= window_start) AS is_known_before
        FROM asked AS a
        JOIN composed USING (device_id)
        CROSS JOIN LATERAL device_energy(of_stream, a.device_id, window_start, whole_from) AS e
        WHERE window_start < whole_from
        GROUP BY a.device_id
        UNION ALL
        SELECT p.device_id, 1 + p.day - first_day,
               p.energy + CASE WHEN p.next_at = p.day_first_at THEN coalesce((p.joint).energy, 0) ELSE 0 END,
               p.next_at, p.last_at,
               make_interval(secs => p.covered / 1e6) - least(p.every, p.next_at - p.rolled_from),
               p.is_known_before
        FROM day_part AS p
        JOIN composed USING (device_id)
        WHERE p.next_at <= p.last_at
        UNION ALL
        -- History after the last whole hour, or from the first touched one on.
        SELECT p.device_id, 100, sum(e.energy), min(e.recorded_at), max(e.recorded_at),
               sum(least(p.every, e.recorded_at - e.previous_at)) FILTER (WHERE e.previous_at > p.ends_at),
               bool_or(e.previous_at <= window_start)
        FROM day_part AS p
        JOIN composed USING (device_id)
        CROSS JOIN LATERAL device_energy(of_stream, p.device_id, p.ends_at, window_end) AS e
        WHERE p.is_last AND p.ends_at < window_end
        GROUP BY p.device_id
    ), placed AS (
        SELECT part.*, max(part.last_at) OVER (PARTITION BY part.device_id ORDER BY place
                                               ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS before_at
        FROM part
    ), joined AS (
        SELECT a.device_id, sum(p.energy) AS energy,
               CASE WHEN NOT a.is_register
                    THEN sum(coalesce(p.covered, '0') + least(a.every, p.first_at - coalesce(p.before_at, window_start)))
                    -- Known from the start where there is any reading before it.
                    WHEN bool_or(p.is_known_before) THEN max(p.last_at) - window_start
                    ELSE max(p.last_at) - min(p.first_at) END AS covered
        FROM placed AS p
        JOIN asked AS a USING (device_id)
        GROUP BY a.device_id, a.is_register
    )
    SELECT a.device_id, coalesce(j.energy, 0), coalesce(j.covered, '0')
    FROM asked AS a
    JOIN composed USING (device_id)
    LEFT JOIN joined AS j USING (device_id)
    UNION ALL
    SELECT a.device_id, coalesce(raw.energy, 0), coalesce(raw.covered, '0')
    FROM asked AS a
    CROSS JOIN LATERAL (
        SELECT sum(e.energy) AS energy,
               CASE WHEN a.is_register
                    THEN max(e.recorded_at) - min(greatest(window_start, coalesce(e.previous_at, e.recorded_at)))
                    ELSE sum(e.recorded_at - greatest(window_start, e.previous_at, e.recorded_at - a.every)) END AS covered
        FROM device_energy(of_stream, a.device_id, window_start, window_end) AS e
    ) AS raw
    WHERE a.device_id NOT IN (SELECT c.device_id FROM composed AS c);
END
$$;

-- What vehicle_performance says, of every vehicle that is registered or was ever heard of, without hours
-- and meters: from rollups, but for the vehicles whose meters changed or were shared in the window.
CREATE OR REPLACE FUNCTION fleet_performance(window_start timestamptz, window_end timestamptz)
RETURNS TABLE (
    vehicle_id text, status text, ac_kwh double precision, dc_kwh double precision,
    ratio double precision, percentage numeric,
    vehicle_coverage double precision, meter_coverage double precision
) LANGUAGE plpgsql STABLE SET plan_cache_mode = force_custom_plan SET timezone = 'UTC' AS $$
BEGIN
    RETURN QUERY
    WITH known AS (
        SELECT v.vehicle_id FROM vehicle AS v UNION SELECT c.vehicle_id FROM vehicle_current_state AS c
    ), bond AS MATERIALIZED (
        SELECT a.vehicle_id, a.meter_id, a.during @> tstzrange(window_start, window_end, '(]') AS is_whole, true AS is_assignment
        FROM vehicle_meter_assignment AS a
        WHERE a.during && tstzrange(window_start, window_end, '(]')
        UNION ALL
        SELECT c.vehicle_id, c.meter_id, false, false
        FROM charging_session AS c
        WHERE c.during && tstzrange(window_start, window_end, '(]')
    ), meter_of AS (
        -- A meter that charged one vehicle only.
        SELECT b.meter_id FROM bond AS b GROUP BY b.meter_id HAVING count(DISTINCT b.vehicle_id) = 1
    ), simple AS (
        -- One meter throughout, which charged nothing else.
        SELECT b.vehicle_id, min(b.meter_id) AS meter_id
        FROM bond AS b
        LEFT JOIN meter_of AS m USING (meter_id)
        GROUP BY b.vehicle_id
        HAVING bool_or(b.is_whole) AND count(DISTINCT b.meter_id) = 1 AND bool_and(m.meter_id IS NOT NULL)
    ), ac AS MATERIALIZED (
        SELECT * FROM fleet_energy('meter', window_start, window_end)
    ), dc AS MATERIALIZED (
        SELECT * FROM fleet_energy('vehicle', window_start, window_end)
    ), summed AS (
        SELECT k.vehicle_id, s.meter_id IS NOT NULL AS has_meter,
               coalesce(ac.energy, 0) AS ac, coalesce(dc.energy, 0) AS dc,
               coalesce((extract(epoch FROM dc.covered) / extract(epoch FROM window_end - window_start))::float8, 0) AS vehicle_coverage,
               coalesce((extract(epoch FROM ac.covered) / extract(epoch FROM window_end - window_start))::float8, 0) AS meter_coverage
        FROM known AS k
        LEFT JOIN simple AS s USING (vehicle_id)
        LEFT JOIN ac ON ac.device_id = s.meter_id
        LEFT JOIN dc ON dc.device_id = k.vehicle_id
        WHERE s.vehicle_id IS NOT NULL OR k.vehicle_id NOT IN (SELECT b.vehicle_id FROM bond AS b)
    )
    SELECT t.vehicle_id,
           performance_status(t.ac, t.dc, t.vehicle_coverage, t.meter_coverage, t.has_meter),
           t.ac::float8 / 1e9, t.dc::float8 / 1e9, t.dc::float8 / nullif(t.ac::float8, 0),
           round(100 * t.dc / nullif(t.ac, 0), 1), t.vehicle_coverage, t.meter_coverage
    FROM summed AS t
    UNION ALL
    SELECT k.vehicle_id, p.status, p.ac_kwh, p.dc_kwh, p.ratio, p.percentage,
           p.vehicle_coverage, p.meter_coverage
    FROM known AS k
    CROSS JOIN LATERAL vehicle_performance(k.vehicle_id, window_start, window_end) AS p
    WHERE k.vehicle_id IN (SELECT b.vehicle_id FROM bond AS b)
      AND k.vehicle_id NOT IN (SELECT s.vehicle_id FROM simple AS s);
END
$$;
