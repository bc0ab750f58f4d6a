-- What is kept of some vehicles from an hour on, each until an hour of its own (hours since 1970). The time that is
-- asked about begins at `since`, in that hour or at its begin.
SELECT asked.place - 1 AS place, kept.ac, kept.dc, kept.ac_known_us, kept.dc_known_us
FROM unnest(%(vehicles)s::text[], %(untils)s::integer[]) WITH ORDINALITY AS asked (vehicle_id, until_hour, place)
CROSS JOIN LATERAL kept_of_vehicle(asked.vehicle_id, %(start)s, asked.until_hour, %(since)s) AS kept
WHERE kept.ac IS NOT NULL
