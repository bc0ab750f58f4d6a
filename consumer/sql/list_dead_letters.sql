SELECT topic, partition, record_offset, reason, detail, dead_lettered_at, redriven_at
FROM dead_letter
WHERE consumer_group = %(consumer_group)s
  AND (%(reason)s::text IS NULL OR reason = %(reason)s)
  AND (%(topic)s::text IS NULL OR topic = %(topic)s)
ORDER BY dead_lettered_at DESC, topic, partition, record_offset DESC
LIMIT %(limit)s
