-- Where the chosen letters are, and about how many bytes each has; their bytes are not read for it.
SELECT topic, partition, record_offset,
       coalesce(length(key), 0) + coalesce(length(value), 0) + pg_column_size(headers)
FROM dead_letter
WHERE consumer_group = %(consumer_group)s
  AND {chosen}
ORDER BY topic, partition, record_offset
