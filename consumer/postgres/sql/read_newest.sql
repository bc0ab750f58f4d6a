-- The time of each device's newest reading, in microseconds since 1970: newer ones are not stored yet.
SELECT asked.code - 1, (extract(epoch FROM known.recorded_at) * 1000000)::bigint
FROM unnest(%(devices)b::text[]) WITH ORDINALITY AS asked (device, code)
JOIN {current_state} AS known ON known.{id} = asked.device
