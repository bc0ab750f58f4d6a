-- What stays on the stage beside what is stored. A statement of its own: under READ COMMITTED it sees
-- rows that another replica committed while the one before waited for them. LIMIT makes it look each row
-- up by its key: how few they are the planner does not know, and would read whole days.
SELECT staged.position,
       ({staged_measures}) IS NOT DISTINCT FROM ({stored_measures}) AS same,
       stored.recorded_at IS NULL AS vanished
FROM {stage} AS staged
LEFT JOIN LATERAL (
    SELECT * FROM {history} AS one
    WHERE one.{id} = staged.{id}
      AND one.recorded_at = staged.recorded_at
      AND one.recorded_at BETWEEN %(first)s AND %(last)s
    LIMIT 1
) AS stored ON true
