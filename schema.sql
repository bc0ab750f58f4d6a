-- The tables that the consumer writes. PostgreSQL 15 to 18, no extensions. `python -m consumer schema
-- apply` creates them, together with what is in schema/.
--
-- These files are the schema as it is now: they create what is missing and never change a table that
-- exists. That is what schema/migrations/ is for.
--
-- Ids are compared byte by byte (COLLATE "C"): a third faster to index than a language's order, and
-- the order in which the consumer sorts its batches.

-- History: one row a reading. The key is the reading's identity, so a second copy cannot be stored;
-- (device, time) also suits Citus (distribute by device) and TimescaleDB (the time is in the key). Its
-- index carries what energy is computed from: a device's readings lie a minute of the whole fleet apart
-- in the table, and side by side in the index.
-- A measure that a device does not send is NULL.
-- No default partition: it would make attaching and detaching scan and lock. The consumer makes the
-- partitions, one a UTC day.
CREATE TABLE IF NOT EXISTS meter_history (
    meter_id        text COLLATE "C" NOT NULL,
    recorded_at     timestamptz      NOT NULL,
    kwh_consumed_ac double precision NOT NULL,
    voltage         double precision,
    ingested_at     timestamptz      NOT NULL DEFAULT now(),
    PRIMARY KEY (meter_id, recorded_at) INCLUDE (kwh_consumed_ac)
) PARTITION BY RANGE (recorded_at);

CREATE TABLE IF NOT EXISTS vehicle_history (
    vehicle_id       text COLLATE "C" NOT NULL,
    recorded_at      timestamptz      NOT NULL,
    soc              double precision,
    kwh_delivered_dc double precision NOT NULL,
    battery_temp     double precision,
    ingested_at      timestamptz      NOT NULL DEFAULT now(),
    PRIMARY KEY (vehicle_id, recorded_at) INCLUDE (kwh_delivered_dc, battery_temp)
) PARTITION BY RANGE (recorded_at);

-- How far the retention has removed history. What was before is unknown: an answer about it says so.
CREATE TABLE IF NOT EXISTS history_removed (
    stream text        NOT NULL PRIMARY KEY CHECK (stream IN ('meter', 'vehicle')),
    until  timestamptz NOT NULL
);

-- Current state: one row a device, rewritten with every newer reading. Half of each page is left free
-- and only the key is indexed, so that updates stay on their page (HOT) and need no index work;
-- vacuum comes early because the table is small and every row of it dies within a minute.
CREATE TABLE IF NOT EXISTS meter_current_state (
    meter_id        text COLLATE "C" NOT NULL PRIMARY KEY,
    recorded_at     timestamptz      NOT NULL,
    kwh_consumed_ac double precision NOT NULL,
    voltage         double precision,
    updated_at      timestamptz      NOT NULL
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_threshold = 1000,
        autovacuum_vacuum_cost_delay = 0);

CREATE TABLE IF NOT EXISTS vehicle_current_state (
    vehicle_id       text COLLATE "C" NOT NULL PRIMARY KEY,
    recorded_at      timestamptz      NOT NULL,
    soc              double precision,
    kwh_delivered_dc double precision NOT NULL,
    battery_temp     double precision,
    updated_at       timestamptz      NOT NULL
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_threshold = 1000,
        autovacuum_vacuum_cost_delay = 0);

-- How far each partition of Kafka is stored: the next offset to read. Moved in the same transaction as
-- the rows, and only from the offset that the writer believes in, which fences out a former owner.
CREATE TABLE IF NOT EXISTS ingest_offset (
    consumer_group text COLLATE "C" NOT NULL,
    topic          text COLLATE "C" NOT NULL,
    partition      integer          NOT NULL,
    next_offset    bigint           NOT NULL CHECK (next_offset >= 0),
    updated_at     timestamptz      NOT NULL DEFAULT now(),
    PRIMARY KEY (consumer_group, topic, partition)
) WITH (fillfactor = 50, autovacuum_vacuum_threshold = 1000);

-- Messages that are not readings: key, value and headers as they came. A letter that is not whole has the
-- beginning of each; key_bytes, value_bytes and header_count say how much there was. Of a whole letter
-- these columns are NULL.
CREATE TABLE IF NOT EXISTS dead_letter (
    consumer_group   text COLLATE "C" NOT NULL,
    topic            text COLLATE "C" NOT NULL,
    partition        integer          NOT NULL,
    record_offset    bigint           NOT NULL,
    key              bytea,
    value            bytea,
    headers          jsonb            NOT NULL DEFAULT '[]',
    record_timestamp timestamptz,
    reason           text             NOT NULL,
    detail           text             NOT NULL,
    dead_lettered_at timestamptz      NOT NULL DEFAULT now(),
    redriven_at      timestamptz,
    is_whole         boolean          NOT NULL DEFAULT true,
    key_bytes        integer,
    value_bytes      integer,
    value_sha256     bytea,
    header_count     integer,
    PRIMARY KEY (consumer_group, topic, partition, record_offset)
);

CREATE INDEX IF NOT EXISTS dead_letter_by_time ON dead_letter (dead_lettered_at);

-- How many large letters were kept whole in an hour, and their bytes. Each partition has a row of its own,
-- so that flushes of different partitions do not wait for each other. The sum of the rows is compared with
-- what is allowed.
CREATE TABLE IF NOT EXISTS dead_letter_hour (
    consumer_group text COLLATE "C" NOT NULL,
    topic          text COLLATE "C" NOT NULL,
    reason         text COLLATE "C" NOT NULL,
    hour           timestamptz      NOT NULL,
    partition      integer          NOT NULL,
    letters        bigint           NOT NULL,
    bytes          bigint           NOT NULL,
    PRIMARY KEY (consumer_group, topic, reason, hour, partition)
);

-- Which changes this database has been through: the numbers of schema/migrations/. The highest is the
-- schema's version. `oldest_code`: the lowest version that code may need and still work on this schema.
CREATE TABLE IF NOT EXISTS schema_version (
    version     integer     NOT NULL PRIMARY KEY,
    name        text        NOT NULL,
    oldest_code integer     NOT NULL,
    applied_at  timestamptz NOT NULL DEFAULT now()
);
-- Every replica reads it, whatever else its role may read.
GRANT SELECT ON schema_version TO PUBLIC;
