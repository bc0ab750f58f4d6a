-- Oldest code: 0
-- Adopts a database whose schema was made before it had a version. Each step first checks whether it is
-- needed, because ALTER TABLE blocks other sessions. The tables may be of any age, or not exist yet.

CREATE TABLE IF NOT EXISTS schema_version (
    version     integer     NOT NULL PRIMARY KEY,
    name        text        NOT NULL,
    oldest_code integer     NOT NULL,
    applied_at  timestamptz NOT NULL DEFAULT now()
);

-- Measures that many devices do not send were NOT NULL once.
DO $$
DECLARE
    one record;
BEGIN
    FOR one IN
        SELECT attrelid::regclass AS name, attname
        FROM pg_attribute
        WHERE attrelid IN (to_regclass('meter_history'), to_regclass('vehicle_history'),
                           to_regclass('meter_current_state'), to_regclass('vehicle_current_state'))
          AND attname IN ('voltage', 'soc', 'battery_temp')
          AND attnotnull
    LOOP
        EXECUTE format('ALTER TABLE %s ALTER COLUMN %I DROP NOT NULL', one.name, one.attname);
    END LOOP;
END
$$;

-- All dead letters were kept whole once. Adding the columns does not rewrite the table.
DO $$
BEGIN
    IF to_regclass('dead_letter') IS NOT NULL
       AND NOT EXISTS (SELECT FROM pg_attribute
                       WHERE attrelid = 'dead_letter'::regclass AND attname = 'is_whole' AND NOT attisdropped) THEN
        ALTER TABLE dead_letter
            ADD COLUMN is_whole     boolean NOT NULL DEFAULT true,
            ADD COLUMN key_bytes    integer,
            ADD COLUMN value_bytes  integer,
            ADD COLUMN value_sha256 bytea,
            ADD COLUMN header_count integer;
    END IF;
END
$$;

-- Notes did not have their number of pairs.
DO $$
BEGIN
    IF to_regclass('rollup_due') IS NOT NULL
       AND NOT EXISTS (SELECT FROM pg_attribute
                       WHERE attrelid = 'rollup_due'::regclass AND attname = 'pairs' AND NOT attisdropped) THEN
        ALTER TABLE rollup_due ADD pairs integer NOT NULL GENERATED ALWAYS AS (cardinality(hours)) STORED;
    END IF;
END
$$;

-- Six checks defined what a device's id is; now the domain does. Stored rows passed the old checks, so the new
-- ones are NOT VALID here. The next migration validates them without blocking anyone.
DO $$
DECLARE
    old record;
BEGIN
    IF to_regtype('device_id') IS NULL THEN
        CREATE DOMAIN device_id AS text COLLATE "C" CHECK (VALUE ~ '^[A-Za-z0-9._:-]{1,64}$');
    END IF;
    FOR old IN
        SELECT conrelid::regclass AS name, conname, attname
        FROM pg_constraint
        JOIN pg_attribute ON attrelid = conrelid AND conkey = ARRAY[attnum]
        WHERE contype = 'c' AND attname IN ('meter_id', 'vehicle_id')
          AND conrelid IN (to_regclass('meter'), to_regclass('vehicle'),
                           to_regclass('vehicle_meter_assignment'), to_regclass('charging_session'))
          -- Checks that somebody else has added stay.
          AND strpos(pg_get_constraintdef(pg_constraint.oid), '[A-Za-z0-9._:-]{1,64}') > 0
    LOOP
        EXECUTE format('ALTER TABLE %1$s DROP CONSTRAINT %2$I,'
                       ' ADD CONSTRAINT %2$I CHECK (%3$I::device_id IS NOT NULL) NOT VALID',
                       old.name, old.conname, old.attname);
    END LOOP;
END
$$;
