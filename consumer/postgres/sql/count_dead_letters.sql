SELECT topic, reason, count(*) AS messages, count(redriven_at) AS redriven,
       count(*) FILTER (WHERE NOT is_whole) AS cut,
       min(dead_lettered_at) AS first, max(dead_lettered_at) AS last
FROM dead_letter
WHERE consumer_group = %(consumer_group)s
  AND {chosen}
GROUP BY topic, reason
ORDER BY topic, count(*) DESC
