-- Rollups: what each vehicle took, and what was drawn for it, by the hour, so that questions about many vehicles
-- need not read their readings again. `energy/stored/rolling_up.py` writes them.
--
-- A stale rollup is never trusted. A flush notes in its own transaction which hours of which devices it has
-- touched (`rollup_due`, one row a batch); triggers note what else changes. A roll-up turns notes into vehicles that
-- are due (`vehicle_due`), and writes these when it has the time. A question sees all of this in one snapshot, and
-- takes what is noted or due from readings, and what has no row on a day that is not known to be complete. So the
-- answer is always that of the readings, and the rollups decide only how fast it comes.

-- Hours that were touched: device and hour by their place in the two arrays, hours since 1970. A reading on the
-- hour belongs to the hour that it ends.
CREATE TABLE IF NOT EXISTS rollup_due (
    due_id  bigint    GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    stream  text      NOT NULL CHECK (stream IN ('meter', 'vehicle')),
    devices text[]    NOT NULL,
    hours   integer[] NOT NULL,
    pairs   integer   NOT NULL GENERATED ALWAYS AS (cardinality(hours)) STORED
) WITH (autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_cost_delay = 0);

-- CREATE TABLE cannot set the storage before PostgreSQL 16. ALTER TABLE blocks writers, so it runs only if it
-- is needed.
DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_attribute
               WHERE attrelid = 'rollup_due'::regclass AND attname IN ('devices', 'hours') AND attstorage <> 'e') THEN
        ALTER TABLE rollup_due ALTER devices SET STORAGE EXTERNAL, ALTER hours SET STORAGE EXTERNAL;
    END IF;
END
$$;

-- A vehicle's UTC day. Element k of an array of hours is about the k-th hour of the day. Energy is in
-- nanokilowatt-hours; `known`: for how many microseconds it is known, whatever is asked.
--   doubts       why an hour's energy may differ from what the devices meant: `Doubt` of energy/worth.py
--   gap_…        long gaps of registers that end in the day: known only within a span that has all of one.
--                `lengths`: microseconds of it that are not known anyway; `is_ac`: the meter's, not the vehicle's
--   holds_until  from then on the row is not to be trusted, although no reading has come; null: it is
CREATE TABLE IF NOT EXISTS vehicle_day (
    vehicle_id  text COLLATE "C" NOT NULL,
    day         date             NOT NULL,
    ac          bigint[]         NOT NULL CHECK (cardinality(ac) = 24),
    dc          bigint[]         NOT NULL CHECK (cardinality(dc) = 24),
    ac_known_us bigint[]         NOT NULL CHECK (cardinality(ac_known_us) = 24),
    dc_known_us bigint[]         NOT NULL CHECK (cardinality(dc_known_us) = 24),
    doubts      smallint[]       NOT NULL CHECK (cardinality(doubts) = 24),
    gap_starts  timestamptz[]    NOT NULL,
    gap_ends    timestamptz[]    NOT NULL,
    gap_lengths bigint[]         NOT NULL,
    gap_is_ac   boolean[]        NOT NULL,
    holds_until timestamptz,
    PRIMARY KEY (vehicle_id, day)
) WITH (fillfactor = 60, autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_cost_delay = 0);

-- Finds the rows that do not hold any more.
CREATE INDEX IF NOT EXISTS vehicle_day_by_holds_until ON vehicle_day (holds_until) WHERE holds_until IS NOT NULL;

-- Vehicles whose rows are not to be trusted from an hour on, until they are written anew. `noted_at` is the first hour
-- that was noted: later than `since`, because a note reaches back.
CREATE TABLE IF NOT EXISTS vehicle_due (
    vehicle_id text COLLATE "C" NOT NULL PRIMARY KEY,
    since      timestamptz      NOT NULL,
    noted_at   timestamptz      NOT NULL
) WITH (autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_cost_delay = 0);

CREATE INDEX IF NOT EXISTS vehicle_due_by_since ON vehicle_due (since);

-- Days of which every vehicle has a row, or is due, or has nothing: up to the vehicle `done_to`, or all if it is null.
-- On any other day a vehicle without a row may have readings that nobody has noted.
CREATE TABLE IF NOT EXISTS vehicle_day_done (
    day     date NOT NULL PRIMARY KEY,
    done_to text COLLATE "C"
);

-- Whether there are readings on a UTC day; one at midnight belongs to the day that it ends.
CREATE OR REPLACE FUNCTION has_readings(of_day date) RETURNS boolean
LANGUAGE sql STABLE SET timezone = 'UTC' AS $$
    SELECT EXISTS (SELECT FROM meter_history
                   WHERE recorded_at > of_day::timestamptz AND recorded_at <= (of_day + 1)::timestamptz)
        OR EXISTS (SELECT FROM vehicle_history
                   WHERE recorded_at > of_day::timestamptz AND recorded_at <= (of_day + 1)::timestamptz)
$$;

-- The days between two that have readings and are not done, and up to which vehicle they are.
CREATE OR REPLACE FUNCTION open_days(first_day date, last_day date) RETURNS TABLE (day date, done_to text)
LANGUAGE sql STABLE AS $$
    SELECT first_day + place, coalesce(done.done_to, '')
    FROM generate_series(0, last_day - first_day) AS place
    LEFT JOIN vehicle_day_done AS done ON done.day = first_day + place
    WHERE (done.day IS NULL OR done.done_to IS NOT NULL) AND has_readings(first_day + place)
$$;

-- The vehicles that notes concern, after which hour the energy of each may differ from what is kept, and its first
-- noted hour.
--
-- A reading decides what those of a register in the hour before it are worth, and the time of such a one begins at
-- the reading before. Of an interval device it decides its own interval and the next one's.
CREATE OR REPLACE FUNCTION vehicles_noted(streams text[], devices text[], hours integer[])
RETURNS TABLE (vehicle_id text, since timestamptz, noted_at timestamptz) LANGUAGE sql STABLE SET timezone = 'UTC' AS $$
    WITH noted AS MATERIALIZED (
        SELECT note.stream, note.device_id, time_of_hour(min(note.hour)) AS at
        FROM unnest(streams, devices, hours) AS note (stream, device_id, hour)
        GROUP BY 1, 2
    ), changed AS MATERIALIZED (
        SELECT noted.stream, noted.device_id, noted.at,
               -- No reading is older than 2000.
               greatest(timestamptz '1999-12-31 23:00Z', date_trunc('hour', CASE WHEN facts.counts THEN least(
                   noted.at - interval '1 hour' - facts.every,
                   CASE noted.stream WHEN 'meter' THEN (
                       SELECT recorded_at FROM meter_history
                       WHERE meter_id = noted.device_id AND recorded_at <= noted.at - interval '1 hour'
                       ORDER BY recorded_at DESC LIMIT 1
                   ) ELSE (
                       SELECT recorded_at FROM vehicle_history AS history
                       WHERE history.vehicle_id = noted.device_id AND recorded_at <= noted.at - interval '1 hour'
                       ORDER BY recorded_at DESC LIMIT 1
                   ) END
               ) ELSE noted.at - facts.every END)) AS since
        FROM noted
        CROSS JOIN LATERAL (
            SELECT coalesce(bool_or(dated.reading_kind = 'register'), false) AS counts,
                   make_interval(secs => coalesce(max(dated.reading_interval_seconds), 60)) AS every
            FROM device_facts AS dated
            WHERE dated.stream = noted.stream AND dated.device_id = noted.device_id
        ) AS facts
    )
    SELECT concerned.vehicle_id, min(concerned.since), min(concerned.at)
    FROM (
        SELECT changed.device_id AS vehicle_id, changed.since, changed.at FROM changed WHERE changed.stream = 'vehicle'
        UNION ALL
        SELECT bond.vehicle_id, changed.since, changed.at
        FROM changed
        CROSS JOIN LATERAL (
            SELECT assignment.vehicle_id FROM vehicle_meter_assignment AS assignment
            WHERE assignment.meter_id = changed.device_id
              AND assignment.during && tstzrange(changed.since, NULL, '()')
            UNION
            SELECT session.vehicle_id FROM charging_session AS session
            WHERE exactly(session.meter_id) = exactly(changed.device_id)
              AND session.during && tstzrange(changed.since, NULL, '()')
        ) AS bond
        WHERE changed.stream = 'meter'
    ) AS concerned
    GROUP BY 1
$$;

-- The first day between two on which the row of each of some vehicles cannot be trusted: it does not hold any more; or
-- it is not there although the day is open, or the vehicle's silence may tell something. Other vehicles are left out.
CREATE OR REPLACE FUNCTION doubtful_days(vehicles text[], first_day date, last_day date, as_of timestamptz)
RETURNS TABLE (vehicle_id text, day date) LANGUAGE sql STABLE AS $$
    WITH kept AS MATERIALIZED (
        SELECT one.vehicle_id, one.day, one.holds_until
        FROM vehicle_day AS one
        WHERE one.vehicle_id = ANY (vehicles) AND one.day BETWEEN first_day AND last_day
    ), missing AS (
        SELECT asked.vehicle_id, open.day
        FROM open_days(first_day, last_day) AS open
        JOIN unnest(vehicles) AS asked (vehicle_id) ON asked.vehicle_id > open.done_to COLLATE "C"
        UNION ALL
        SELECT telling.device_id, first_day + place
        FROM (
            SELECT DISTINCT facts.device_id
            FROM device_facts AS facts
            WHERE facts.stream = 'vehicle' AND facts.device_id = ANY (vehicles) AND facts.reports_only_while_charging
        ) AS telling
        CROSS JOIN generate_series(0, last_day - first_day) AS place
    )
    SELECT doubtful.vehicle_id, min(doubtful.day)
    FROM (
        SELECT kept.vehicle_id, kept.day FROM kept WHERE kept.holds_until <= as_of
        UNION ALL
        SELECT missing.vehicle_id, missing.day
        FROM missing
        LEFT JOIN kept ON kept.vehicle_id = missing.vehicle_id AND kept.day = missing.day
        WHERE kept.day IS NULL
    ) AS doubtful
    GROUP BY 1
$$;

-- What is kept of a vehicle between two hours (since 1970): energy, and for how many microseconds it is known in
-- all since a time in the first hour, or at its begin.
CREATE OR REPLACE FUNCTION kept_of_vehicle(of_vehicle text, first_hour integer, last_hour integer, since timestamptz)
RETURNS TABLE (ac numeric, dc numeric, ac_known_us numeric, dc_known_us numeric, doubts smallint)
LANGUAGE sql STABLE AS $$
    SELECT sum(told.ac), sum(told.dc), sum(told.ac_known_us + gap.ac_us), sum(told.dc_known_us + gap.dc_us),
           bit_or(told.doubts)
    FROM vehicle_day AS kept
    CROSS JOIN LATERAL (
        SELECT coalesce(sum(one.ac), 0) AS ac, coalesce(sum(one.dc), 0) AS dc,
               coalesce(sum(one.ac_known_us), 0) AS ac_known_us, coalesce(sum(one.dc_known_us), 0) AS dc_known_us,
               coalesce(bit_or(one.doubts), 0::smallint) AS doubts
        FROM unnest(kept.ac, kept.dc, kept.ac_known_us, kept.dc_known_us, kept.doubts)
                 WITH ORDINALITY AS one (ac, dc, ac_known_us, dc_known_us, doubts, number)
        WHERE midnight_hour(kept.day) + one.number > first_hour AND midnight_hour(kept.day) + one.number <= last_hour
    ) AS told
    CROSS JOIN LATERAL (
        SELECT coalesce(sum(one.length) FILTER (WHERE one.is_ac), 0) AS ac_us,
               coalesce(sum(one.length) FILTER (WHERE NOT one.is_ac), 0) AS dc_us
        FROM unnest(kept.gap_starts, kept.gap_ends, kept.gap_lengths, kept.gap_is_ac)
                 AS one (started_at, ended_at, length, is_ac)
        WHERE one.started_at >= since AND one.ended_at > time_of_hour(first_hour)
          AND one.ended_at <= time_of_hour(last_hour)
    ) AS gap
    WHERE kept.vehicle_id = of_vehicle
      AND kept.day >= date '1970-01-01' + first_hour / 24 AND kept.day <= date '1970-01-01' + (last_hour - 1) / 24
$$;
