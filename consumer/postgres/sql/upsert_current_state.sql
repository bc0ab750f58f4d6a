-- Parameters are sent in binary (the b of their places): twice as fast as text.
WITH noted AS (
    -- For the rollups: these hours are to be taken from history until they are rolled up again.
    INSERT INTO rollup_due (stream, devices, hours) VALUES (%s, %b::text[], %b::integer[])
)
INSERT INTO {current_state} AS known ({id}, recorded_at, {measures}, updated_at)
SELECT reading.*, now()
FROM unnest(%b::text[], %b::timestamptz[], {arrays}) AS reading
ON CONFLICT ({id}) DO UPDATE
SET recorded_at = excluded.recorded_at,
    {assignments},
    updated_at = excluded.updated_at
WHERE known.recorded_at < excluded.recorded_at
