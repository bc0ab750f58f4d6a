-- The sessions of some devices that overlap a time, each a time of its own.
SELECT asked.place - 1 AS place, session.session_id, session.started_at, session.ended_at
FROM unnest(%(devices)s::text[], %(starts)s::timestamptz[], %(ends)s::timestamptz[])
         WITH ORDINALITY AS asked (device_id, start_at, end_at, place)
JOIN charging_session AS session
    ON exactly(session.{id}) = exactly(asked.device_id)
   AND session.during && tstzrange(asked.start_at, asked.end_at, '(]')
