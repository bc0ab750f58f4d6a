SELECT topic, partition, record_offset, key, value, headers, record_timestamp, reason, detail,
       dead_lettered_at, redriven_at, is_whole, key_bytes, value_bytes, value_sha256, header_count
FROM dead_letter
WHERE consumer_group = %(consumer_group)s
  AND {chosen}
ORDER BY topic, partition, record_offset
