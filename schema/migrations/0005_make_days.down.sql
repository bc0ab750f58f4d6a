-- Goes back to version 4. Replicas of before make days themselves, so they must connect as the owner of the tables.
-- Nothing is lost.

DROP FUNCTION IF EXISTS make_day(regclass, date);

-- Word for word, so that the `schema check` of version 4 finds nothing.
CREATE OR REPLACE FUNCTION watch_readings(of_table regclass, of_stream text) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('CREATE OR REPLACE TRIGGER note_changed_readings AFTER UPDATE ON %s'
                   ' REFERENCING OLD TABLE AS before NEW TABLE AS after'
                   ' FOR EACH STATEMENT EXECUTE FUNCTION note_readings(%L)', of_table, of_stream);
    EXECUTE format('CREATE OR REPLACE TRIGGER note_deleted_readings AFTER DELETE ON %s'
                   ' REFERENCING OLD TABLE AS before'
                   ' FOR EACH STATEMENT EXECUTE FUNCTION note_readings(%L)', of_table, of_stream);
END
$$;
