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

-- What `vehicle_meters` says of one vehicle, for all: when each meter charged each vehicle, a row a time.
-- `during` is null if it never did, although they were assigned or in a session.
CREATE OR REPLACE FUNCTION fleet_meters(asked tstzrange)
RETURNS TABLE (vehicle_id text, meter_id text, during tstzrange)
LANGUAGE sql STABLE AS $$
    WITH bond AS MATERIALIZED (
        SELECT row_number() OVER () AS number, one.*
        FROM (
            SELECT assignment.vehicle_id, assignment.meter_id, false AS is_session,
                   assignment.during * asked AS during, assignment.during @> asked AS is_whole
            FROM vehicle_meter_assignment AS assignment
            WHERE assignment.during && asked
            UNION ALL
            SELECT session.vehicle_id, session.meter_id, true, session.during * asked, false
            FROM charging_session AS session
            WHERE session.during && asked
        ) AS one
    ), own AS (
        -- A meter that charged one vehicle only.
        SELECT bond.meter_id FROM bond GROUP BY bond.meter_id HAVING min(bond.vehicle_id) = max(bond.vehicle_id)
    ), simple AS MATERIALIZED (
        -- One meter throughout, which charged nothing else.
        SELECT bond.vehicle_id, min(bond.meter_id) AS meter_id
        FROM bond
        LEFT JOIN own USING (meter_id)
        GROUP BY bond.vehicle_id
        HAVING bool_or(bond.is_whole) AND min(bond.meter_id) = max(bond.meter_id)
           AND bool_and(own.meter_id IS NOT NULL)
    ), tied AS MATERIALIZED (
        SELECT bond.* FROM bond WHERE bond.vehicle_id NOT IN (SELECT simple.vehicle_id FROM simple)
    ), slice AS (
        -- From one beginning or end of a meter's bonds to the next, which session ran, and how many vehicles
        -- were assigned. `assigned` is the sum of the numbers of their bonds, and so the number of the bond
        -- if there is just one.
        SELECT change.meter_id, change.at AS began, lead(change.at) OVER in_time AS ended,
               sum(change.session) OVER in_time AS session, sum(change.assigned) OVER in_time AS assigned,
               sum(change.vehicles) OVER in_time AS vehicles
        FROM (
            SELECT edge.meter_id, edge.at,
                   coalesce(sum(edge.sign * edge.number) FILTER (WHERE edge.is_session), 0) AS session,
                   coalesce(sum(edge.sign * edge.number) FILTER (WHERE NOT edge.is_session), 0) AS assigned,
                   coalesce(sum(edge.sign) FILTER (WHERE NOT edge.is_session), 0) AS vehicles
            FROM (
                SELECT tied.meter_id, lower(tied.during) AS at, 1 AS sign, tied.number, tied.is_session FROM tied
                UNION ALL
                SELECT tied.meter_id, upper(tied.during), -1, tied.number, tied.is_session FROM tied
            ) AS edge
            GROUP BY edge.meter_id, edge.at
        ) AS change
        WINDOW in_time AS (PARTITION BY change.meter_id ORDER BY change.at)
    ), served AS (
        -- A meter is listed for a vehicle even if it never charged it.
        SELECT named.vehicle_id, named.meter_id, range_agg(named.during) AS charged
        FROM (
            -- Not a join: the planner would make it a nested loop.
            SELECT one.meter_id, one.during, max(one.vehicle_id) OVER (PARTITION BY one.number) AS vehicle_id
            FROM (
                SELECT tied.number, tied.vehicle_id, tied.meter_id, NULL::tstzrange AS during FROM tied
                UNION ALL
                SELECT (CASE WHEN slice.session <> 0 THEN slice.session ELSE slice.assigned END)::bigint, NULL,
                       slice.meter_id, tstzrange(slice.began, slice.ended, '(]')
                FROM slice
                WHERE slice.session <> 0 OR slice.vehicles = 1
            ) AS one
        ) AS named
        GROUP BY 1, 2
    )
    SELECT simple.vehicle_id, simple.meter_id, asked FROM simple
    UNION ALL
    SELECT served.vehicle_id, served.meter_id, during
    FROM served
    LEFT JOIN LATERAL unnest(served.charged) AS during ON true
$$;
