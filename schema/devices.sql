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

-- A device that only sends readings has no row in these tables. All defaults hold for it.
CREATE TABLE IF NOT EXISTS meter (
    meter_id                 text COLLATE "C"  NOT NULL PRIMARY KEY CHECK (meter_id::device_id IS NOT NULL),
    location                 text              CHECK (length(location) <= 200),
    capacity_kw              double precision  CHECK (capacity_kw > 0 AND capacity_kw <= 1e6),
    reading_kind             text              NOT NULL DEFAULT 'interval' CHECK (reading_kind IN ('interval', 'register')),
    register_modulus_kwh     double precision  CHECK (register_modulus_kwh > 0 AND register_modulus_kwh <= 1e7),
    reading_interval_seconds double precision  NOT NULL DEFAULT 60 CHECK (reading_interval_seconds > 0 AND reading_interval_seconds <= 86400),
    created_at               timestamptz       NOT NULL DEFAULT now(),
    updated_at               timestamptz       NOT NULL DEFAULT now()
);

CREATE TABLE IF NOT EXISTS vehicle (
    vehicle_id               text COLLATE "C"  NOT NULL PRIMARY KEY CHECK (vehicle_id::device_id IS NOT NULL),
    model                    text              CHECK (length(model) <= 200),
    battery_capacity_kwh     double precision  CHECK (battery_capacity_kwh > 0 AND battery_capacity_kwh <= 1e6),
    max_ac_kw                double precision  CHECK (max_ac_kw > 0 AND max_ac_kw <= 1e6),
    reading_kind             text              NOT NULL DEFAULT 'interval' CHECK (reading_kind IN ('interval', 'register')),
    reading_interval_seconds double precision  NOT NULL DEFAULT 60 CHECK (reading_interval_seconds > 0 AND reading_interval_seconds <= 86400),
    created_at               timestamptz       NOT NULL DEFAULT now(),
    updated_at               timestamptz       NOT NULL DEFAULT now()
);

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

-- Meters and vehicles alike. A vehicle has no rating and no modulus.
CREATE OR REPLACE VIEW device AS
SELECT 'meter' AS stream, meter_id AS device_id, reading_kind = 'register' AS is_register,
       make_interval(secs => reading_interval_seconds) AS every, capacity_kw, register_modulus_kwh AS modulus_kwh
FROM meter
UNION ALL
SELECT 'vehicle', vehicle_id, reading_kind = 'register', make_interval(secs => reading_interval_seconds), NULL, NULL
FROM vehicle;
