-- Assignments and sessions: which meter charges which vehicle, and when. Times are start < t <= end.

-- Which meter charges a vehicle; ended_at is null while it still does. A vehicle has one at a time, a meter
-- may serve several.
CREATE TABLE IF NOT EXISTS vehicle_meter_assignment (
    assignment_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    vehicle_id    text COLLATE "C" NOT NULL CHECK (vehicle_id::device_id IS NOT NULL),
    meter_id      text COLLATE "C" NOT NULL CHECK (meter_id::device_id IS NOT NULL),
    started_at    timestamptz NOT NULL,
    ended_at      timestamptz,
    during        tstzrange NOT NULL GENERATED ALWAYS AS (tstzrange(started_at, ended_at, '(]')) STORED,
    CHECK (ended_at > started_at),
    CONSTRAINT one_meter_at_a_time
        EXCLUDE USING gist (exactly(vehicle_id) WITH =, during WITH &&)
);

CREATE INDEX IF NOT EXISTS vehicle_meter_assignment_by_meter ON vehicle_meter_assignment (meter_id);

-- A charge; ended_at is null while it runs. A vehicle is in one session at a time, and so is a meter.
CREATE TABLE IF NOT EXISTS charging_session (
    session_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    vehicle_id text COLLATE "C" NOT NULL CHECK (vehicle_id::device_id IS NOT NULL),
    meter_id   text COLLATE "C" NOT NULL CHECK (meter_id::device_id IS NOT NULL),
    started_at timestamptz NOT NULL,
    ended_at   timestamptz,
    during     tstzrange NOT NULL GENERATED ALWAYS AS (tstzrange(started_at, ended_at, '(]')) STORED,
    CHECK (ended_at > started_at),
    CONSTRAINT vehicle_in_one_session
        EXCLUDE USING gist (exactly(vehicle_id) WITH =, during WITH &&),
    CONSTRAINT meter_in_one_session
        EXCLUDE USING gist (exactly(meter_id) WITH =, during WITH &&)
);

-- Lists the sessions under way without reading those that are over.
CREATE INDEX IF NOT EXISTS charging_session_active ON charging_session (session_id) WHERE ended_at IS NULL;

-- Which meters charged the vehicle, and when. While a session runs on a meter, the meter's energy belongs to
-- the session's vehicle. Otherwise it belongs to the vehicle that is assigned to the meter, if it is exactly
-- one. If several are assigned, it belongs to none of them, and `shared` has those times.
CREATE OR REPLACE FUNCTION vehicle_meters(of_vehicle text, window_start timestamptz, window_end timestamptz)
RETURNS TABLE (meter_id text, charged tstzmultirange, shared tstzmultirange)
LANGUAGE sql STABLE AS $$
    WITH asked AS (
        SELECT tstzrange(window_start, window_end, '(]') AS during
    ), mine AS (
        SELECT meter_id, range_agg(during) FILTER (WHERE assigned) AS assigned,
               range_agg(during) FILTER (WHERE NOT assigned) AS charging
        FROM (
            SELECT meter_id, during, true AS assigned FROM vehicle_meter_assignment
            WHERE exactly(vehicle_id) = exactly(of_vehicle)
            UNION ALL
            SELECT meter_id, during, false FROM charging_session
            WHERE exactly(vehicle_id) = exactly(of_vehicle)
        ) AS fact
        WHERE during && (SELECT during FROM asked)
        GROUP BY meter_id
    ), known AS (
        SELECT mine.meter_id,
               coalesce(mine.charging, '{}') AS charging,
               coalesce(mine.assigned, '{}') - coalesce((
                   SELECT range_agg(session.during) FROM charging_session AS session
                   WHERE exactly(session.meter_id) = exactly(mine.meter_id)
                     AND session.during && (SELECT during FROM asked)
               ), '{}') AS assigned,
               coalesce((
                   SELECT range_agg(other.during) FROM vehicle_meter_assignment AS other
                   WHERE other.meter_id = mine.meter_id AND other.vehicle_id <> of_vehicle
                     AND other.during && (SELECT during FROM asked)
               ), '{}') AS others
        FROM mine
    )
    SELECT meter_id,
           (charging + (assigned - others)) * (SELECT tstzmultirange(during) FROM asked),
           assigned * others * (SELECT tstzmultirange(during) FROM asked)
    FROM known
$$;
