-- Notes of what is changed by hand, or entered later: what is kept of these hours does not hold any more. A flush
-- notes its readings itself, so nothing here fires for an INSERT or a COPY into history.
--
-- All triggers are of statements, with transition tables: one note however many rows were changed. Triggers of
-- rows would write a note a row, which for a fleet's day are millions. A statement that names a history fires the
-- history's trigger, also for a row that moves to another day; one that names a day's table fires only that
-- table's, so each day has triggers of its own (`watch_readings`).
--
-- Nothing notes a TRUNCATE, or a day that is detached or dropped. Retention forgets what is kept of the days
-- itself. Whoever empties a table by hand has to note that too (docs/runbook.md).
--
-- The functions run with the rights of the tables' owner, so that a role that may change the tables needs no right
-- to `rollup_due`. So their search path names no schema that others may write to, and nobody else may use them for
-- triggers of his own. Compiling would take longer than their statements do (jit). The tables are those of the schema
-- that the trigger's table, or its history, is in.

-- Notes of each device the first hour of each day in which readings were changed or deleted. An UPDATE that
-- leaves device, time and energy as they were changes no answer.
CREATE OR REPLACE FUNCTION note_readings() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET jit = off SET timezone = 'UTC' AS $$
DECLARE
    of_stream CONSTANT text := TG_ARGV[0];
    what      CONSTANT text := CASE of_stream WHEN 'meter' THEN 'meter_id AS id, recorded_at, kwh_consumed_ac'
                                              ELSE 'vehicle_id AS id, recorded_at, kwh_delivered_dc' END;
    ours      CONSTANT oid := coalesce(pg_partition_root(TG_RELID), TG_RELID);
    changed   text := format('SELECT %s FROM before', what);
BEGIN
    -- What is kept of a device that is removed goes with its readings (consumer/upkeep/devices.py).
    IF current_setting('wattline.removes_devices', true) = 'on' THEN
        RETURN NULL;
    END IF;
    IF TG_OP = 'UPDATE' THEN
        changed := format('(SELECT %1$s FROM before EXCEPT SELECT %1$s FROM after)'
                          ' UNION ALL (SELECT %1$s FROM after EXCEPT SELECT %1$s FROM before)', what);
    END IF;
    -- A reading on the hour belongs to the hour that it ends, as in the notes of a flush.
    EXECUTE format($note$
        INSERT INTO %s.rollup_due (stream, devices, hours)
        SELECT $1, array_agg(day.id), array_agg(day.hour)
        FROM (
            SELECT reading.id, (ceil(extract(epoch FROM min(reading.recorded_at)) / 3600) - 1)::integer AS hour
            FROM (%s) AS reading
            GROUP BY reading.id, date_trunc('day', reading.recorded_at - interval '1 microsecond')
        ) AS day
        HAVING count(*) > 0
    $note$, (SELECT relnamespace::regnamespace FROM pg_class WHERE oid = ours), changed) USING of_stream;
    RETURN NULL;
END
$$;
REVOKE EXECUTE ON FUNCTION note_readings() FROM PUBLIC;

-- Makes the triggers of a history, or of one of its days.
CREATE OR REPLACE FUNCTION watch_readings(of_table regclass, of_stream text) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    schema CONSTANT regnamespace := (
        SELECT relnamespace FROM pg_class WHERE oid = coalesce(pg_partition_root(of_table), of_table)
    );
BEGIN
    EXECUTE format('CREATE OR REPLACE TRIGGER note_changed_readings AFTER UPDATE ON %s'
                   ' REFERENCING OLD TABLE AS before NEW TABLE AS after'
                   ' FOR EACH STATEMENT EXECUTE FUNCTION %s.note_readings(%L)', of_table, schema, of_stream);
    EXECUTE format('CREATE OR REPLACE TRIGGER note_deleted_readings AFTER DELETE ON %s'
                   ' REFERENCING OLD TABLE AS before'
                   ' FOR EACH STATEMENT EXECUTE FUNCTION %s.note_readings(%L)', of_table, schema, of_stream);
END
$$;

-- Only where they are missing: making a trigger blocks writers. The history comes before its days, as in a flush.
DO $$
DECLARE
    one record;
BEGIN
    FOR one IN
        SELECT tree.relid, stream
        FROM unnest(ARRAY['meter', 'vehicle']) AS stream
        CROSS JOIN LATERAL pg_partition_tree(format('%s_history', stream)::regclass) AS tree
        JOIN pg_class AS class ON class.oid = tree.relid AND class.relkind IN ('r', 'p')
        WHERE (SELECT count(*) FROM pg_trigger AS trigger
               WHERE trigger.tgrelid = tree.relid AND trigger.tgenabled = 'O'
                 AND trigger.tgname IN ('note_changed_readings', 'note_deleted_readings')) < 2
        ORDER BY stream, tree.level, class.relname
    LOOP
        PERFORM watch_readings(one.relid, one.stream);
    END LOOP;
END
$$;

-- Notes the meter and the vehicle of each assignment or session that is entered, changed or removed, from the
-- earliest time on that it concerns. The vehicle is noted itself: a note of the meter does not find it any more
-- once they are not bound. What is to come concerns nothing that is kept, and is noted as of now.
CREATE OR REPLACE FUNCTION note_bonds() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET jit = off AS $$
DECLARE
    id_column CONSTANT text := TG_ARGV[0];
    changed   CONSTANT text := CASE TG_OP
        WHEN 'INSERT' THEN 'SELECT vehicle_id, meter_id, started_at AS at FROM after'
        WHEN 'DELETE' THEN 'SELECT vehicle_id, meter_id, started_at AS at FROM before'
        -- If only its end moves, what was before both ends stays as it was. Without an end it has no time (null).
        ELSE format($update$
            SELECT bond.vehicle_id, bond.meter_id,
                   CASE WHEN (old.vehicle_id, old.meter_id, old.started_at)
                             IS DISTINCT FROM (new.vehicle_id, new.meter_id, new.started_at)
                        THEN least(old.started_at, new.started_at)
                        ELSE least(old.ended_at, new.ended_at) END AS at
            FROM before AS old
            JOIN after AS new USING (%I)
            CROSS JOIN LATERAL (VALUES (old.vehicle_id, old.meter_id), (new.vehicle_id, new.meter_id))
                AS bond (vehicle_id, meter_id)
            WHERE (old.vehicle_id, old.meter_id, old.started_at, old.ended_at)
                  IS DISTINCT FROM (new.vehicle_id, new.meter_id, new.started_at, new.ended_at)
        $update$, id_column) END;
BEGIN
    EXECUTE format($note$
        INSERT INTO %I.rollup_due (stream, devices, hours)
        SELECT noted.stream, array_agg(noted.id), array_agg(noted.hour)
        FROM (
            SELECT device.stream, device.id,
                   floor(extract(epoch FROM greatest(min(bond.at), '2000-01-01 00:00:00+00')) / 3600)::integer AS hour
            FROM (SELECT vehicle_id, meter_id, least(at, now()) AS at FROM (%s) AS one) AS bond
            CROSS JOIN LATERAL (VALUES ('meter', bond.meter_id), ('vehicle', bond.vehicle_id)) AS device (stream, id)
            GROUP BY device.stream, device.id
        ) AS noted
        GROUP BY noted.stream
    $note$, TG_TABLE_SCHEMA, changed);
    RETURN NULL;
END
$$;
REVOKE EXECUTE ON FUNCTION note_bonds() FROM PUBLIC;

CREATE OR REPLACE TRIGGER note_entered_sessions AFTER INSERT ON charging_session
REFERENCING NEW TABLE AS after FOR EACH STATEMENT EXECUTE FUNCTION note_bonds('session_id');

CREATE OR REPLACE TRIGGER note_changed_sessions AFTER UPDATE ON charging_session
REFERENCING OLD TABLE AS before NEW TABLE AS after FOR EACH STATEMENT EXECUTE FUNCTION note_bonds('session_id');

CREATE OR REPLACE TRIGGER note_removed_sessions AFTER DELETE ON charging_session
REFERENCING OLD TABLE AS before FOR EACH STATEMENT EXECUTE FUNCTION note_bonds('session_id');

CREATE OR REPLACE TRIGGER note_entered_assignments AFTER INSERT ON vehicle_meter_assignment
REFERENCING NEW TABLE AS after FOR EACH STATEMENT EXECUTE FUNCTION note_bonds('assignment_id');

CREATE OR REPLACE TRIGGER note_changed_assignments AFTER UPDATE ON vehicle_meter_assignment
REFERENCING OLD TABLE AS before NEW TABLE AS after FOR EACH STATEMENT EXECUTE FUNCTION note_bonds('assignment_id');

CREATE OR REPLACE TRIGGER note_removed_assignments AFTER DELETE ON vehicle_meter_assignment
REFERENCING OLD TABLE AS before FOR EACH STATEMENT EXECUTE FUNCTION note_bonds('assignment_id');

-- Notes each device whose facts are entered, changed or removed, from the time on from which they hold.
--
-- A first registration that says what holds without one changes nothing. One that says more holds for all time:
-- for a device that has sent something, or of which something is kept, that is from the oldest day of history on.
-- Of any other a day is noted, because its first readings may be stored just now: thousands are registered at once
-- before they send, and nothing of them has to be computed again.
CREATE OR REPLACE FUNCTION note_facts() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET jit = off SET datestyle = 'ISO' SET timezone = 'UTC' AS $$
DECLARE
    changed CONSTANT text := CASE TG_OP
        WHEN 'INSERT' THEN 'SELECT * FROM after'
        WHEN 'DELETE' THEN 'SELECT * FROM before'
        ELSE '(SELECT * FROM before EXCEPT SELECT * FROM after)'
             ' UNION ALL (SELECT * FROM after EXCEPT SELECT * FROM before)' END;
BEGIN
    -- INSERT … ON CONFLICT DO UPDATE fires both triggers, and mostly one of them for nothing.
    IF TG_OP = 'INSERT' THEN
        PERFORM FROM after LIMIT 1;
    ELSE
        PERFORM FROM before LIMIT 1;
    END IF;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    EXECUTE format($note$
        INSERT INTO %1$I.rollup_due (stream, devices, hours)
        WITH changed AS MATERIALIZED (
            -- A reading just after it covered an interval before it.
            SELECT one.stream, one.device_id,
                   min(one.valid_from - make_interval(secs => one.reading_interval_seconds)) AS valid_from
            FROM (%2$s) AS one
            WHERE one.valid_from > '-infinity'
               OR (one.reading_kind, one.reading_interval_seconds, one.capacity_kw, one.register_modulus_kwh,
                   one.register_step_kwh, one.reports_only_while_charging)
                  IS DISTINCT FROM ('interval', 60::float8, NULL::float8, NULL::float8, 1::float8, false)
            GROUP BY one.stream, one.device_id
        ), oldest AS MATERIALIZED (
            -- A table that was attached by hand may have no lower bound. No table is locked (list_days.sql).
            SELECT coalesce(substring(pg_get_expr(day.relpartbound, 0) FROM 'FROM \(''([^'']+)''\)')::timestamptz,
                            '2000-01-01 00:00:00+00') AS at
            FROM pg_inherits AS link
            JOIN pg_class AS day ON day.oid = link.inhrelid
            WHERE link.inhparent IN ('%1$I.meter_history'::regclass, '%1$I.vehicle_history'::regclass)
            ORDER BY at
            LIMIT 1
        ), noted AS (
            SELECT one.stream, one.device_id,
                   greatest(least(one.valid_from, now()), '2000-01-01 00:00:00+00',
                            CASE WHEN one.valid_from > '-infinity'
                                   OR EXISTS (SELECT FROM %1$I.meter_current_state AS known
                                              WHERE one.stream = 'meter' AND known.meter_id = one.device_id)
                                   OR EXISTS (SELECT FROM %1$I.vehicle_current_state AS known
                                              WHERE one.stream = 'vehicle' AND known.vehicle_id = one.device_id)
                                   OR EXISTS (SELECT FROM %1$I.vehicle_day AS kept
                                              WHERE one.stream = 'vehicle' AND kept.vehicle_id = one.device_id)
                                 THEN (SELECT oldest.at FROM oldest)
                                 ELSE now() - interval '1 day' END) AS at
            FROM changed AS one
        )
        SELECT noted.stream, array_agg(noted.device_id),
               array_agg(floor(extract(epoch FROM noted.at) / 3600)::integer)
        FROM noted
        GROUP BY noted.stream
    $note$, TG_TABLE_SCHEMA, changed);
    RETURN NULL;
END
$$;
REVOKE EXECUTE ON FUNCTION note_facts() FROM PUBLIC;

CREATE OR REPLACE TRIGGER note_entered_facts AFTER INSERT ON device_facts
REFERENCING NEW TABLE AS after FOR EACH STATEMENT EXECUTE FUNCTION note_facts();

CREATE OR REPLACE TRIGGER note_changed_facts AFTER UPDATE ON device_facts
REFERENCING OLD TABLE AS before NEW TABLE AS after FOR EACH STATEMENT EXECUTE FUNCTION note_facts();

CREATE OR REPLACE TRIGGER note_removed_facts AFTER DELETE ON device_facts
REFERENCING OLD TABLE AS before FOR EACH STATEMENT EXECUTE FUNCTION note_facts();
