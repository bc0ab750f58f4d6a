-- Until when a stream's history is removed, and what some of its devices were registered as, in order of the times from
-- which it held: null for those of the beginning. A row without a device if none of them is registered.
SELECT removed.until AS removed_until, facts.device_id, nullif(facts.valid_from, '-infinity') AS since,
       facts.reading_kind, facts.reading_interval_seconds, facts.capacity_kw, facts.register_modulus_kwh,
       facts.register_step_kwh, facts.reports_only_while_charging
FROM (SELECT (SELECT until FROM history_removed WHERE stream = %(stream)s) AS until) AS removed
LEFT JOIN device_facts AS facts ON facts.stream = %(stream)s AND facts.device_id = ANY (%(devices)s)
ORDER BY facts.device_id, facts.valid_from
