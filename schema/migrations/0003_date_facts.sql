-- Oldest code: 0
-- What a device is, since when. `schema/devices.sql` fills the table, once its triggers keep it. The tables may
-- not exist yet.

ALTER TABLE IF EXISTS meter
    ADD COLUMN IF NOT EXISTS site text CHECK (length(site) <= 200),
    ADD COLUMN IF NOT EXISTS label text CHECK (length(label) <= 200),
    ADD COLUMN IF NOT EXISTS register_step_kwh double precision NOT NULL DEFAULT 1
        CHECK (register_step_kwh > 0 AND register_step_kwh <= 1000),
    ADD COLUMN IF NOT EXISTS valid_from timestamptz NOT NULL DEFAULT '-infinity';

ALTER TABLE IF EXISTS vehicle
    ADD COLUMN IF NOT EXISTS vin text COLLATE "C" CHECK (vin ~ '^[A-HJ-NPR-Z0-9]{17}$'),
    ADD COLUMN IF NOT EXISTS label text CHECK (length(label) <= 200),
    ADD COLUMN IF NOT EXISTS reports_only_while_charging boolean NOT NULL DEFAULT false,
    ADD COLUMN IF NOT EXISTS valid_from timestamptz NOT NULL DEFAULT '-infinity';

CREATE TABLE IF NOT EXISTS device_facts (
    stream                      text              NOT NULL CHECK (stream IN ('meter', 'vehicle')),
    device_id                   text COLLATE "C"  NOT NULL,
    valid_from                  timestamptz       NOT NULL,
    reading_kind                text              NOT NULL,
    reading_interval_seconds    double precision  NOT NULL,
    capacity_kw                 double precision,
    register_modulus_kwh        double precision,
    register_step_kwh           double precision  NOT NULL DEFAULT 1,
    reports_only_while_charging boolean           NOT NULL DEFAULT false,
    PRIMARY KEY (stream, device_id, valid_from)
);

-- Whoever writes or reads meters does so with their facts: older replicas through the triggers.
DO $$
DECLARE
    one record;
BEGIN
    FOR one IN
        SELECT DISTINCT CASE grantee WHEN 0 THEN 'PUBLIC' ELSE grantee::regrole::text END AS role, privilege_type
        FROM pg_class, aclexplode(relacl)
        WHERE oid IN (to_regclass('meter'), to_regclass('vehicle')) AND grantee <> relowner
          AND privilege_type IN ('SELECT', 'INSERT', 'UPDATE', 'DELETE')
    LOOP
        EXECUTE format('GRANT %s ON device_facts TO %s', one.privilege_type, one.role);
    END LOOP;
END
$$;
