SELECT topic, partition, record_offset, reason, detail, dead_lettered_at, redriven_at, is_whole
FROM dead_letter
WHERE consumer_group = %(consumer_group)s
  AND {chosen}
ORDER BY dead_lettered_at DESC, topic, partition, record_offset DESC
LIMIT %(limit)s
