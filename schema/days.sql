-- The days of history are made by one function with the rights of the histories' owner, so that a consumer that owns
-- nothing gets the day that a late reading needs. Removing days is the owner's own work: DETACH CONCURRENTLY cannot run
-- in a function (consumer/upkeep/retention.py).

-- Makes a UTC day of a history, or attaches it again if it was detached; nothing if it is attached. Who calls it holds
-- the lock of making days (consumer/postgres/days.py).
--
-- Whoever may execute it makes the owner run DDL. So both tables must be the owner's own: others could have put a
-- function into a default or an index. Only the times that a reading may have have days, and those of the days ahead.
CREATE OR REPLACE FUNCTION make_day(history regclass, day date) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    latest CONSTANT date := (now() AT TIME ZONE 'UTC')::date + 367;
    owner  CONSTANT oid := (SELECT oid FROM pg_roles WHERE rolname = current_user);
    ours   record;
    known  record;
    name   text;
BEGIN
    SELECT class.relname, class.relnamespace::regnamespace AS schema, class.relowner INTO ours
    FROM pg_class AS class
    WHERE class.oid = history AND class.relkind = 'p' AND class.relname IN ('meter_history', 'vehicle_history');
    IF NOT FOUND OR day IS NULL OR day NOT BETWEEN '2000-01-01' AND latest THEN
        RAISE invalid_parameter_value
            USING MESSAGE = format('%s has no day %s', coalesce(history::text, 'nothing'), coalesce(day::text, 'null'));
    END IF;
    IF owner <> ours.relowner THEN
        RAISE insufficient_privilege
            USING MESSAGE = format('make_day belongs to %s, and %s does not: both should', current_user, history);
    END IF;
    name := format('%s.%I', ours.schema, format('%s_%s', ours.relname, to_char(day, 'YYYYMMDD')));
    SELECT class.relowner, link.inhrelid IS NOT NULL AS is_attached, link.inhdetachpending AS is_detaching INTO known
    FROM pg_class AS class
    LEFT JOIN pg_inherits AS link ON link.inhrelid = class.oid AND link.inhparent = history
    WHERE class.oid = to_regclass(name) AND class.relkind IN ('r', 'p', 'f');
    IF owner <> known.relowner THEN
        RAISE insufficient_privilege
            USING MESSAGE = format('%s belongs to %s, and %s does not: both should', history, current_user, name);
    END IF;
    IF known.is_detaching THEN
        EXECUTE format('ALTER TABLE %s DETACH PARTITION %s FINALIZE', history, name);
    ELSIF known.is_attached THEN
        RETURN;
    ELSIF known.relowner IS NULL THEN
        -- Vacuumed once a twentieth of the rows is new, not a fifth: only pages that a vacuum has seen are read from
        -- the index alone.
        EXECUTE format('CREATE TABLE %s (LIKE %s INCLUDING ALL) WITH (autovacuum_vacuum_insert_scale_factor = 0.05)',
                       name, history);
        -- What is changed by hand in this table is noted, also if the history is not named.
        EXECUTE format('SELECT %s.watch_readings(%L::regclass, %L::text)', ours.schema, name,
                       split_part(ours.relname, '_', 1));
    END IF;
    -- A new table is attached empty, and an old one has the CHECK that DETACH CONCURRENTLY leaves: either way there is
    -- nothing to scan.
    EXECUTE format('ALTER TABLE %s ATTACH PARTITION %s FOR VALUES FROM (%L) TO (%L)', history, name,
                   format('%s 00:00:00+00', to_char(day, 'YYYY-MM-DD')),
                   format('%s 00:00:00+00', to_char(day + 1, 'YYYY-MM-DD')));
END
$$;
REVOKE EXECUTE ON FUNCTION make_day(regclass, date) FROM PUBLIC;

-- Somebody who applies the schema and does not own the tables, such as a superuser, leaves it to their owner.
DO $$
DECLARE
    owner CONSTANT oid := (SELECT relowner FROM pg_class WHERE oid = 'meter_history'::regclass);
BEGIN
    IF owner <> (SELECT proowner FROM pg_proc WHERE oid = 'make_day(regclass, date)'::regprocedure) THEN
        EXECUTE format('ALTER FUNCTION make_day(regclass, date) OWNER TO %s', owner::regrole);
    END IF;
END
$$;
