-- Every column, key, check and storage setting of a schema's tables, less the daily partitions, one
-- line of text each.
SELECT table_name, fact
FROM (
    SELECT class.relname AS table_name,
           concat('column ', attribute.attname, ' ',
                  format_type(attribute.atttypid, attribute.atttypmod),
                  CASE WHEN attribute.attcollation <> type.typcollation
                       THEN ' collate ' || coll.collname END,
                  CASE WHEN attribute.attnotnull THEN ' not null' END,
                  ' default ' || pg_get_expr(fallback.adbin, fallback.adrelid)) AS fact
    FROM pg_class AS class
    JOIN pg_attribute AS attribute ON attribute.attrelid = class.oid
    JOIN pg_type AS type ON type.oid = attribute.atttypid
    LEFT JOIN pg_collation AS coll ON coll.oid = attribute.attcollation
    LEFT JOIN pg_attrdef AS fallback
        ON fallback.adrelid = class.oid AND fallback.adnum = attribute.attnum
    WHERE class.relnamespace = %(schema)s::regnamespace
      AND class.relkind IN ('r', 'p') AND NOT class.relispartition
      AND attribute.attnum > 0 AND NOT attribute.attisdropped
    UNION ALL
    SELECT class.relname, 'key or check ' || pg_get_constraintdef(limitation.oid)
    FROM pg_class AS class
    JOIN pg_constraint AS limitation ON limitation.conrelid = class.oid
    WHERE class.relnamespace = %(schema)s::regnamespace
      AND class.relkind IN ('r', 'p') AND NOT class.relispartition
      AND limitation.contype IN ('p', 'c')
    UNION ALL
    SELECT class.relname, 'partition key ' || pg_get_partkeydef(class.oid)
    FROM pg_class AS class
    WHERE class.relnamespace = %(schema)s::regnamespace AND class.relkind = 'p'
    UNION ALL
    SELECT class.relname, 'option ' || setting
    FROM pg_class AS class, unnest(class.reloptions) AS setting
    WHERE class.relnamespace = %(schema)s::regnamespace
      AND class.relkind = 'r' AND NOT class.relispartition
) AS facts
ORDER BY table_name, fact
