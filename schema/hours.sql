-- Hours and days as numbers: hours since 1970 UTC.
--
-- Functions in LANGUAGE sql, these and those in other files, become part of the statement that calls them
-- ("Function Inlining" in PostgreSQL's wiki), so that cutting a long statement into pieces costs nothing.
-- What they are called with must be columns or plain expressions: with a subquery they do not.

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
