-- What all partitions have spent of this hour's allowances. What other flushes are spending just now
-- is not seen, because this would have to wait for them.
SELECT reason, sum(letters)::bigint, sum(bytes)::bigint
FROM dead_letter_hour
WHERE consumer_group = %(consumer_group)s
  AND topic = %(topic)s
  AND reason = ANY(%(reasons)s::text[])
  AND hour = date_trunc('hour', now())
GROUP BY reason
