-- How many messages the consumers have come past; of several groups, that which moved last.
SELECT consumer_group, sum(next_offset)::bigint AS messages, statement_timestamp() AS at
FROM ingest_offset
GROUP BY consumer_group
ORDER BY max(updated_at) DESC
LIMIT 1
