-- Notes the counters that sent something on a day that goes and nothing on the next: on a later day, their next reading
-- has lost the one that it is compared with. Each is looked up by its id; a join could read all of a day.
INSERT INTO rollup_due (stream, devices, hours)
SELECT %(stream)s, array_agg(counter.device_id), array_agg(midnight_hour(%(day)s::date + 2))
FROM (
    SELECT DISTINCT facts.device_id
    FROM device_facts AS facts
    WHERE facts.stream = %(stream)s AND facts.reading_kind = 'register'
) AS counter
WHERE (SELECT true FROM {day} AS gone WHERE gone.{id} = counter.device_id LIMIT 1)
  AND (SELECT true FROM {history} AS kept
       WHERE kept.{id} = counter.device_id
         AND kept.recorded_at >= (%(day)s::date + 1)::timestamp AT TIME ZONE 'UTC'
         AND kept.recorded_at <= (%(day)s::date + 2)::timestamp AT TIME ZONE 'UTC'
       LIMIT 1) IS NULL
HAVING count(*) > 0
