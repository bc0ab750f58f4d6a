"""Series of the metrics page as these tests ask for them, by how their names begin."""

STORED = 'telemetry_messages_total{outcome="stored"'
DUPLICATES = 'telemetry_messages_total{outcome="duplicate"'
DEAD = 'telemetry_messages_total{outcome="dead_lettered"'
