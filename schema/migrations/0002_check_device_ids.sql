-- Oldest code: 0
-- Validates the ids that were registered before the domain checked them. Readers and writers continue.

DO $$
DECLARE
    one record;
BEGIN
    FOR one IN
        SELECT conrelid::regclass AS name, conname
        FROM pg_constraint
        WHERE contype = 'c' AND NOT convalidated
          AND pg_get_constraintdef(oid) LIKE '%device_id IS NOT NULL%'
          AND conrelid IN (to_regclass('meter'), to_regclass('vehicle'),
                           to_regclass('vehicle_meter_assignment'), to_regclass('charging_session'))
    LOOP
        EXECUTE format('ALTER TABLE %s VALIDATE CONSTRAINT %I', one.name, one.conname);
    END LOOP;
END
$$;
