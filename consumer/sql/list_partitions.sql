-- The daily partitions of the two histories, attached or left behind by an interrupted removal.
SELECT parent.relname AS history,
       child.relname AS name,
       to_date(right(child.relname, 8), 'YYYYMMDD') AS day,
       CASE
           WHEN link.inhrelid IS NULL THEN 'detached'
           WHEN link.inhdetachpending THEN 'detaching'
           ELSE 'attached'
       END AS state,
       greatest(child.reltuples, 0)::bigint AS rows,
       pg_total_relation_size(child.oid) AS bytes
FROM pg_class AS parent
JOIN pg_class AS child
    ON child.relnamespace = parent.relnamespace
   AND child.relkind = 'r'
   AND child.relname ~ ('^' || parent.relname || '_[0-9]{8}$')
LEFT JOIN pg_inherits AS link ON link.inhrelid = child.oid AND link.inhparent = parent.oid
WHERE parent.oid IN (to_regclass('meter_history'), to_regclass('vehicle_history'))
ORDER BY parent.relname, child.relname
