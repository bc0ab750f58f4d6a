-- Parameters are sent in binary (the b of their places): twice as fast as text.
INSERT INTO {current_state} AS known ({id}, recorded_at, {measures}, updated_at)
SELECT reading.*, now()
FROM unnest(%b::text[], %b::timestamptz[], {arrays}) AS reading
ON CONFLICT ({id}) DO UPDATE
SET recorded_at = excluded.recorded_at,
    {assignments},
    updated_at = excluded.updated_at
WHERE known.recorded_at < excluded.recorded_at
