-- Rows are estimated as the planner does it, by the density that the last ANALYZE found; null: not
-- known. Asking for a size waits for a session that drops the table.
SELECT name,
       CASE
           WHEN pg_relation_size(class.oid) = 0 THEN 0
           WHEN class.reltuples >= 0 AND class.relpages > 0
               THEN class.reltuples / class.relpages
                    * (pg_relation_size(class.oid) / current_setting('block_size')::integer)
       END::bigint AS rows,
       pg_total_relation_size(class.oid) AS bytes
FROM unnest(%(names)s::text[]) AS name
JOIN pg_class AS class ON class.oid = to_regclass(quote_ident(name)) AND class.relkind = 'r'
