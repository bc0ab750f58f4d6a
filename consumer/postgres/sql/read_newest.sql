-- When each device was last heard of, in microseconds since 1970: what is newer is stored nowhere yet.
SELECT asked.code - 1, (extract(epoch FROM known.recorded_at) * 1000000)::bigint
FROM unnest(%(devices)b::text[]) WITH ORDINALITY AS asked (device, code)
JOIN {current_state} AS known ON known.{id} = asked.device
