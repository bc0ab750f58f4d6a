SELECT consumer_group, count(*)
FROM ingest_offset
WHERE consumer_group <> %(consumer_group)s
  AND topic = ANY (%(topics)s)
GROUP BY consumer_group
ORDER BY max(updated_at) DESC, consumer_group
