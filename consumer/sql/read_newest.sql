-- When each device was last heard of: what is newer than that is stored nowhere yet.
SELECT asked.code - 1, known.recorded_at
FROM unnest(%(devices)b::text[]) WITH ORDINALITY AS asked (device, code)
JOIN {current_state} AS known ON known.{id} = asked.device
