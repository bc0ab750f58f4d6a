-- Oldest code: 0
-- What is kept by the hour is computed by other rules, and in another table. Every day that history has is done
-- anew; until then answers about it come from readings. The tables may not exist yet.

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

CREATE TABLE IF NOT EXISTS vehicle_due (
    vehicle_id text COLLATE "C" NOT NULL PRIMARY KEY,
    since      timestamptz      NOT NULL,
    noted_at   timestamptz      NOT NULL
) WITH (autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_cost_delay = 0);

CREATE TABLE IF NOT EXISTS vehicle_day_done (
    day     date NOT NULL PRIMARY KEY,
    done_to text COLLATE "C"
);

CREATE TABLE IF NOT EXISTS history_removed (
    stream text        NOT NULL PRIMARY KEY CHECK (stream IN ('meter', 'vehicle')),
    until  timestamptz NOT NULL
);

-- Whoever writes or reads rollups goes on doing so.
DO $$
DECLARE
    one record;
BEGIN
    FOR one IN
        SELECT DISTINCT CASE grantee WHEN 0 THEN 'PUBLIC' ELSE grantee::regrole::text END AS role, privilege_type
        FROM pg_class, aclexplode(relacl)
        WHERE oid = to_regclass('energy_rollup') AND grantee <> relowner
          AND privilege_type IN ('SELECT', 'INSERT', 'UPDATE', 'DELETE')
    LOOP
        EXECUTE format('GRANT %s ON vehicle_day, vehicle_due, vehicle_day_done, history_removed TO %s',
                       one.privilege_type, one.role);
    END LOOP;
END
$$;

-- Replicas of before go on. They find nothing rolled up, so that their answers about the fleet come from readings,
-- and leave the notes to the others.
DO $$
BEGIN
    IF to_regclass('energy_rollup') IS NOT NULL THEN
        TRUNCATE energy_rollup, rollup_day;
        CREATE OR REPLACE FUNCTION roll_up(most integer DEFAULT 200) RETURNS integer
        LANGUAGE sql AS 'SELECT 0';
        CREATE OR REPLACE FUNCTION complete_a_day(first_kept date, today date, most integer DEFAULT 200) RETURNS boolean
        LANGUAGE sql AS 'SELECT false';
    END IF;
END
$$;

-- Triggers on what devices are note it now.
DROP FUNCTION IF EXISTS note_changed_device() CASCADE;

-- Replicas of before ask it with four arguments, and are answered from readings. Without its default it is not in
-- the way of the one that answers whole hours, which has three.
DO $$
DECLARE
    asked CONSTANT regprocedure := to_regprocedure('vehicle_performance(text, timestamptz, timestamptz, text)');
    definition text;
BEGIN
    IF asked IS NOT NULL THEN
        definition := replace(pg_get_functiondef(asked), ' DEFAULT NULL::text', '');
        EXECUTE format('DROP FUNCTION %s', asked);
        EXECUTE definition;
    END IF;
END
$$;
