-- The sessions of some devices that overlap a time.
SELECT {id} AS device_id, started_at, ended_at
FROM charging_session
WHERE exactly({id}) = ANY (SELECT exactly(device_id) FROM unnest(%(devices)s::text[]) AS device_id)
  AND during && tstzrange(%(start)s, %(end)s, '(]')
