-- A page, oldest first. The array is built once: a plain IN may run its subquery again and take more.
DELETE FROM dead_letter
WHERE ctid = ANY (ARRAY(
    SELECT ctid
    FROM dead_letter
    WHERE consumer_group = %(consumer_group)s
      AND {chosen}
    ORDER BY dead_lettered_at
    LIMIT %(page)s
    FOR UPDATE SKIP LOCKED
))
