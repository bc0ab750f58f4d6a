-- Hours and days as numbers: hours since 1970 UTC. These functions become part of what calls them.

-- How many hours have passed at a time.
CREATE OR REPLACE FUNCTION hours_since_1970(at timestamptz) RETURNS double precision
LANGUAGE sql STABLE PARALLEL SAFE
RETURN date_part('epoch', at) / 3600;

-- When an hour begins.
CREATE OR REPLACE FUNCTION time_of_hour(hour integer) RETURNS timestamptz
LANGUAGE sql STABLE PARALLEL SAFE
RETURN timestamptz 'epoch' + make_interval(hours => hour);

-- The hour with which a UTC day begins.
CREATE OR REPLACE FUNCTION midnight_hour(day date) RETURNS integer
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN (day - date '1970-01-01') * 24;
