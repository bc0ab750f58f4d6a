SELECT topic, partition, record_offset, key, value, headers, record_timestamp, reason, detail,
       dead_lettered_at, redriven_at, is_whole, key_bytes, value_bytes, value_sha256, header_count
FROM unnest(%(topics)s::text[], %(partitions)s::integer[], %(offsets)s::bigint[])
     AS asked (topic, partition, record_offset)
JOIN dead_letter USING (topic, partition, record_offset)
WHERE consumer_group = %(consumer_group)s
ORDER BY topic, partition, record_offset
