-- A record that is read again, after a stored offset was set back, keeps the row that it has.
INSERT INTO dead_letter (consumer_group, topic, partition, record_offset, key, value, headers,
                         record_timestamp, reason, detail)
SELECT %(consumer_group)s, %(topic)s, %(partition)s, letter.*
FROM unnest(%(offsets)b::bigint[], %(keys)b::bytea[], %(values)b::bytea[], %(headers)b::jsonb[],
            %(timestamps)b::timestamptz[], %(reasons)b::text[], %(details)b::text[]) AS letter
ON CONFLICT DO NOTHING
