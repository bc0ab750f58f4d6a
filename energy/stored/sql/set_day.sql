INSERT INTO vehicle_day_done (day, done_to) VALUES (%(day)s, %(done_to)s)
ON CONFLICT (day) DO UPDATE SET done_to = excluded.done_to
