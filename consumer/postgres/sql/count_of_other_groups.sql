SELECT consumer_group, count(*)
FROM dead_letter
WHERE consumer_group <> %(consumer_group)s
  AND {chosen}
GROUP BY consumer_group
ORDER BY count(*) DESC, consumer_group
