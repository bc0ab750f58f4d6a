-- What some devices were registered as, in order of the times from which it held: null for those of the beginning.
SELECT device_id, nullif(valid_from, '-infinity') AS since, reading_kind, reading_interval_seconds, capacity_kw,
       register_modulus_kwh, register_step_kwh, reports_only_while_charging
FROM device_facts
WHERE stream = %(stream)s AND device_id = ANY (%(devices)s)
ORDER BY device_id, valid_from
