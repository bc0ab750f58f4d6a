-- Only the present hour's are asked for. A flush that began before the hour did may still be under way.
DELETE FROM dead_letter_hour
WHERE consumer_group = %(consumer_group)s
  AND hour < now() - interval '1 day'
