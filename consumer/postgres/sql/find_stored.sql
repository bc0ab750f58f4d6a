-- Which of some readings are stored, and whether with the same measures. LIMIT makes it look each up
-- by its key: the planner does not know how few they are, and would read whole days.
SELECT asked.place - 1, ({stored_measures}) IS NOT DISTINCT FROM ({asked_measures})
FROM unnest(%b::text[], %b::timestamptz[], {arrays}) WITH ORDINALITY
    AS asked ({id}, recorded_at, {measures}, place)
CROSS JOIN LATERAL (
    SELECT * FROM {history} AS one
    WHERE one.{id} = asked.{id}
      AND one.recorded_at = asked.recorded_at
      AND one.recorded_at BETWEEN %b AND %b
    LIMIT 1
) AS stored
