-- Only the present hour is asked for. A flush that began in an earlier hour may still be under way.
DELETE FROM dead_letter_hour
WHERE consumer_group = %(consumer_group)s
  AND hour < now() - interval '1 day'
