-- In the transaction of the letters, so that both are committed or neither.
INSERT INTO dead_letter_hour AS spent (consumer_group, topic, reason, hour, partition, letters, bytes)
SELECT %(consumer_group)s, %(topic)s, more.reason, date_trunc('hour', now()), %(partition)s,
       more.letters, more.bytes
FROM unnest(%(reasons)s::text[], %(letters)s::bigint[], %(bytes)s::bigint[])
     AS more (reason, letters, bytes)
ON CONFLICT (consumer_group, topic, reason, hour, partition) DO UPDATE
SET letters = spent.letters + excluded.letters,
    bytes = spent.bytes + excluded.bytes
