-- The registry: what each device is.

-- The id of a device. The registry's columns stay text and are checked by a cast to this domain, which fails
-- if the text is not an id. To change a column's type would rewrite its table, and break the statements
-- that running replicas have prepared. Histories are not checked: the consumer has checked every reading.
-- (There is no CREATE DOMAIN IF NOT EXISTS.)
DO $$
BEGIN
    CREATE DOMAIN device_id AS text COLLATE "C" CHECK (VALUE ~ '^[A-Za-z0-9._:-]{1,64}$');
EXCEPTION WHEN duplicate_object THEN
END
$$;

-- A device that only sends readings has no row in these tables. All defaults hold for it. A row says what the
-- device is since `valid_from`; `device_facts` has what it was before.
CREATE TABLE IF NOT EXISTS meter (
    meter_id                 text COLLATE "C"  NOT NULL PRIMARY KEY CHECK (meter_id::device_id IS NOT NULL),
    location                 text              CHECK (length(location) <= 200),
    capacity_kw              double precision  CHECK (capacity_kw > 0 AND capacity_kw <= 1e6),
    reading_kind             text              NOT NULL DEFAULT 'interval' CHECK (reading_kind IN ('interval', 'register')),
    register_modulus_kwh     double precision  CHECK (register_modulus_kwh > 0 AND register_modulus_kwh <= 1e7),
    reading_interval_seconds double precision  NOT NULL DEFAULT 60 CHECK (reading_interval_seconds > 0 AND reading_interval_seconds <= 86400),
    created_at               timestamptz       NOT NULL DEFAULT now(),
    updated_at               timestamptz       NOT NULL DEFAULT now(),
    site                     text              CHECK (length(site) <= 200),
    label                    text              CHECK (length(label) <= 200),
    register_step_kwh        double precision  NOT NULL DEFAULT 1 CHECK (register_step_kwh > 0 AND register_step_kwh <= 1000),
    valid_from               timestamptz       NOT NULL DEFAULT '-infinity'
);

CREATE TABLE IF NOT EXISTS vehicle (
    vehicle_id                  text COLLATE "C"  NOT NULL PRIMARY KEY CHECK (vehicle_id::device_id IS NOT NULL),
    model                       text              CHECK (length(model) <= 200),
    battery_capacity_kwh        double precision  CHECK (battery_capacity_kwh > 0 AND battery_capacity_kwh <= 1e6),
    max_ac_kw                   double precision  CHECK (max_ac_kw > 0 AND max_ac_kw <= 1e6),
    reading_kind                text              NOT NULL DEFAULT 'interval' CHECK (reading_kind IN ('interval', 'register')),
    reading_interval_seconds    double precision  NOT NULL DEFAULT 60 CHECK (reading_interval_seconds > 0 AND reading_interval_seconds <= 86400),
    created_at                  timestamptz       NOT NULL DEFAULT now(),
    updated_at                  timestamptz       NOT NULL DEFAULT now(),
    vin                         text COLLATE "C"  CHECK (vin ~ '^[A-HJ-NPR-Z0-9]{17}$'),
    label                       text              CHECK (length(label) <= 200),
    reports_only_while_charging boolean           NOT NULL DEFAULT false,
    valid_from                  timestamptz       NOT NULL DEFAULT '-infinity'
);

CREATE UNIQUE INDEX IF NOT EXISTS vehicle_by_vin ON vehicle (vin);

-- Lists of a site, or of a label, are in order of the ids.
CREATE INDEX IF NOT EXISTS meter_by_site ON meter (site, meter_id);
CREATE INDEX IF NOT EXISTS meter_by_label ON meter (label, meter_id);
CREATE INDEX IF NOT EXISTS vehicle_by_label ON vehicle (label, vehicle_id);

-- What a device's energy depends on, as it held from each time on. Those of '-infinity' are the registration,
-- the newest are in the device's own row too.
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

-- The newest facts of every registered device, from its own row. A vehicle has no rating and no modulus.
CREATE OR REPLACE VIEW newest_facts AS
SELECT 'meter' AS stream, meter_id AS device_id, valid_from, reading_kind, reading_interval_seconds, capacity_kw,
       register_modulus_kwh, register_step_kwh, false AS reports_only_while_charging
FROM meter
UNION ALL
SELECT 'vehicle', vehicle_id, valid_from, reading_kind, reading_interval_seconds, NULL, NULL, 1,
       reports_only_while_charging
FROM vehicle;

-- Keeps `device_facts`, whatever code writes the registry: a replica that knows nothing of `valid_from` changes
-- the newest facts from their own time on. Many that are entered at once are kept by one statement.
CREATE OR REPLACE FUNCTION keep_facts() RETURNS trigger
LANGUAGE plpgsql AS $$
DECLARE
    of_stream CONSTANT text := TG_ARGV[0];
    is_id     CONSTANT text := to_jsonb(NEW) ->> (of_stream || '_id');
    was_id    CONSTANT text := to_jsonb(OLD) ->> (of_stream || '_id');
    ids       text[] := ARRAY[is_id];
BEGIN
    IF TG_OP = 'TRUNCATE' THEN
        DELETE FROM device_facts WHERE stream = of_stream;
        RETURN NULL;
    END IF;
    IF TG_OP = 'INSERT' THEN
        ids := ARRAY(SELECT to_jsonb(entered) ->> (of_stream || '_id') FROM entered);
    ELSIF was_id <> is_id OR is_id IS NULL THEN
        DELETE FROM device_facts WHERE stream = of_stream AND device_id = was_id;
    ELSIF NEW.valid_from < OLD.valid_from THEN
        DELETE FROM device_facts
        WHERE stream = of_stream AND device_id = is_id AND valid_from > NEW.valid_from;
    END IF;
    INSERT INTO device_facts AS known
    SELECT * FROM newest_facts WHERE stream = of_stream AND device_id = ANY (ids)
    ON CONFLICT (stream, device_id, valid_from) DO UPDATE
    SET (reading_kind, reading_interval_seconds, capacity_kw, register_modulus_kwh, register_step_kwh,
         reports_only_while_charging)
      = (excluded.reading_kind, excluded.reading_interval_seconds, excluded.capacity_kw,
         excluded.register_modulus_kwh, excluded.register_step_kwh, excluded.reports_only_while_charging)
    WHERE known.* IS DISTINCT FROM excluded.*;
    RETURN NULL;
END
$$;

CREATE OR REPLACE TRIGGER keep_new_meter_facts AFTER INSERT ON meter
REFERENCING NEW TABLE AS entered FOR EACH STATEMENT EXECUTE FUNCTION keep_facts('meter');

CREATE OR REPLACE TRIGGER keep_meter_facts AFTER UPDATE OR DELETE ON meter
FOR EACH ROW EXECUTE FUNCTION keep_facts('meter');

CREATE OR REPLACE TRIGGER keep_new_vehicle_facts AFTER INSERT ON vehicle
REFERENCING NEW TABLE AS entered FOR EACH STATEMENT EXECUTE FUNCTION keep_facts('vehicle');

CREATE OR REPLACE TRIGGER keep_vehicle_facts AFTER UPDATE OR DELETE ON vehicle
FOR EACH ROW EXECUTE FUNCTION keep_facts('vehicle');

CREATE OR REPLACE TRIGGER forget_meter_facts AFTER TRUNCATE ON meter
FOR EACH STATEMENT EXECUTE FUNCTION keep_facts('meter');

CREATE OR REPLACE TRIGGER forget_vehicle_facts AFTER TRUNCATE ON vehicle
FOR EACH STATEMENT EXECUTE FUNCTION keep_facts('vehicle');

-- Devices that were registered before there were facts. Here the triggers exist already, so none is missed.
INSERT INTO device_facts SELECT * FROM newest_facts ON CONFLICT DO NOTHING;

-- GiST has no operator class for text without an extension; a range of one text has one. (There is no
-- CREATE TYPE IF NOT EXISTS.)
DO $$
BEGIN
    CREATE TYPE text_range AS RANGE (subtype = text, collation = "C");
EXCEPTION WHEN duplicate_object THEN
END
$$;

-- The range that holds exactly this id, for the constraints and indexes of charging.sql.
CREATE OR REPLACE FUNCTION exactly(id text) RETURNS text_range
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN text_range(id, id, '[]');
