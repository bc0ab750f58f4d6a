-- The tables of the two histories, also those attached by hand, and the days that an interrupted
-- removal left behind. No table is locked, so that a flush that needs a day does not wait behind the
-- removal of another: pg_get_expr with a table's oid would lock it, and so would asking for its size.
SELECT history, name, state, replace(bounds[1] || ' to ' || bounds[2], '''', '') AS range,
       extract(epoch FROM CASE bounds[1] WHEN 'MINVALUE' THEN '-infinity'
                          ELSE trim('''' FROM bounds[1]) END::timestamptz)::float8 / 86400 AS first,
       extract(epoch FROM CASE bounds[2] WHEN 'MAXVALUE' THEN 'infinity'
                          ELSE trim('''' FROM bounds[2]) END::timestamptz)::float8 / 86400 AS last
FROM (
    SELECT parent.relname AS history,
           child.relname AS name,
           CASE
               WHEN link.inhrelid IS NULL THEN 'detached'
               WHEN link.inhdetachpending THEN 'detaching'
               ELSE 'attached'
           END AS state,
           CASE pg_get_expr(child.relpartbound, 0)
               WHEN 'DEFAULT' THEN ARRAY['MINVALUE', 'MAXVALUE']
               ELSE regexp_match(pg_get_expr(child.relpartbound, 0), 'FROM \((.+)\) TO \((.+)\)')
           END AS bounds
    FROM pg_class AS parent
    JOIN pg_class AS child ON child.relkind IN ('r', 'p', 'f')
    LEFT JOIN pg_inherits AS link ON link.inhrelid = child.oid AND link.inhparent = parent.oid
    WHERE parent.oid IN (to_regclass('meter_history'), to_regclass('vehicle_history'))
      AND (link.inhrelid IS NOT NULL
           OR child.relkind = 'r'
              AND NOT child.relispartition
              AND child.relnamespace = parent.relnamespace
              AND child.relname ~ ('^' || parent.relname || '_[0-9]{8}$'))
) AS day
ORDER BY history, first NULLS FIRST, name
