-- A record that is read again, after a stored offset was set back, keeps the row that it has.
INSERT INTO dead_letter (consumer_group, topic, partition, record_offset, key, value, headers,
                         record_timestamp, reason, detail, is_whole, key_bytes, value_bytes,
                         value_sha256, header_count)
SELECT %(consumer_group)s, %(topic)s, %(partition)s, letter.*
FROM unnest(%(offsets)b::bigint[], %(keys)b::bytea[], %(values)b::bytea[], %(headers)b::jsonb[],
            %(timestamps)b::timestamptz[], %(reasons)b::text[], %(details)b::text[],
            %(wholes)b::boolean[], %(key_sizes)b::integer[], %(value_sizes)b::integer[],
            %(digests)b::bytea[], %(header_counts)b::integer[]) AS letter
ON CONFLICT DO NOTHING
