-- What each vehicle took, and what was drawn for it, by the hour of a UTC day: kept so that questions about many
-- vehicles need not read their readings again.
--
-- A row is written from what was stored and bound when it was computed. What has come since is noted in
-- `rollup_due`: hours that a note concerns are taken from readings until they are written again.

-- Element k of an array of hours is about the k-th hour of the day. Energy is in nanokilowatt-hours; `known`: for
-- how many microseconds it is known, whatever is asked.
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
    gap_starts  timestamptz[]    NOT NULL,
    gap_ends    timestamptz[]    NOT NULL,
    gap_lengths bigint[]         NOT NULL,
    gap_is_ac   boolean[]        NOT NULL,
    holds_until timestamptz,
    PRIMARY KEY (vehicle_id, day)
) WITH (fillfactor = 60, autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_cost_delay = 0);

-- Finds the rows that do not hold any more.
CREATE INDEX IF NOT EXISTS vehicle_day_by_holds_until ON vehicle_day (holds_until) WHERE holds_until IS NOT NULL;
