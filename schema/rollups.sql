-- Rollups: the energy and coverage of each device by the hour, so that questions about the whole fleet stay
-- fast.
--
-- A stale rollup is never trusted. A flush notes in its own transaction which hours of which devices it has
-- touched (`rollup_due`, one row a batch). A question sees readings and notes in one snapshot, takes what is
-- noted from history, and only the rest from rollups. A day without a rollup is taken from history too,
-- unless the day is known to be complete (`rollup_day`); so is a device that was something else when it was
-- rolled up. The answer is therefore always that of history, and `roll_up` decides only how fast it comes.

-- Hours that a flush has touched: device and hour by their place in the two arrays, hours since 1970. A
-- reading on the hour belongs to the hour that it ends.
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

-- Days on which every device with readings is rolled up or noted: a device that is neither has none. `done_to`
-- is the device up to which that is done, null once it is done for all.
CREATE TABLE IF NOT EXISTS rollup_day (
    stream  text NOT NULL,
    day     date NOT NULL,
    done_to text COLLATE "C",
    PRIMARY KEY (stream, day)
);

-- A device's day. Element k of an array is about the k-1 hours since midnight UTC, so there are 25;
-- `first_after` is the day's first reading after them.
--   energy   nanokilowatt-hours, null if they do not fit; a register's first reading of the day is a
--            baseline only
--   covered  microseconds that an interval device's readings cover, each back to the one before it
--   last_at  the day's last reading
--   is_held  whether a register stood below its baseline at some time
--   before_at  the last reading before the day, if it is of the last hour
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

-- Whether the device was registered as the same when it was rolled up.
CREATE OR REPLACE FUNCTION is_rolled_as(
    rollup energy_rollup, is_register boolean, every interval, capacity_kw double precision,
    modulus_kwh double precision
) RETURNS boolean LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN rollup.is_register = is_register AND rollup.every = every
       AND rollup.capacity_kw IS NOT DISTINCT FROM capacity_kw
       AND rollup.modulus_kwh IS NOT DISTINCT FROM modulus_kwh;
