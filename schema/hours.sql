-- Hours and days as numbers: hours since 1970 UTC.
--
-- A function in LANGUAGE sql, here and in the other files, becomes part of the statement that calls it
-- ("Function Inlining" in PostgreSQL's wiki). So cutting a long statement into functions costs nothing. Its
-- arguments must be columns or plain expressions: a call with a subquery as an argument is not inlined.

-- Hours from 1970 to a time.
CREATE OR REPLACE FUNCTION hours_since_1970(at timestamptz) RETURNS double precision
LANGUAGE sql STABLE PARALLEL SAFE
RETURN date_part('epoch', at) / 3600;

-- The time at which an hour begins.
CREATE OR REPLACE FUNCTION time_of_hour(hour integer) RETURNS timestamptz
LANGUAGE sql STABLE PARALLEL SAFE
RETURN timestamptz 'epoch' + make_interval(hours => hour);

-- The hour with which a UTC day begins.
CREATE OR REPLACE FUNCTION midnight_hour(day date) RETURNS integer
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN (day - date '1970-01-01') * 24;
