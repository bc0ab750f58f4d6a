-- What stays on the stage beside what is stored. A statement of its own: under READ COMMITTED it sees
-- rows that another replica committed while the one before waited for them.
SELECT staged.position,
       ({staged_measures}) IS NOT DISTINCT FROM ({stored_measures}) AS same,
       stored.recorded_at IS NULL AS vanished
FROM {stage} AS staged
LEFT JOIN {history} AS stored
    ON stored.{id} = staged.{id}
   AND stored.recorded_at = staged.recorded_at
   AND stored.recorded_at BETWEEN %(first)s AND %(last)s
