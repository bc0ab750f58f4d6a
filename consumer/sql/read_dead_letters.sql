SELECT topic, partition, record_offset, key, value, headers, record_timestamp, reason, detail,
       dead_lettered_at, redriven_at
FROM dead_letter
WHERE consumer_group = %(consumer_group)s
  AND {chosen}
ORDER BY topic, partition, record_offset
