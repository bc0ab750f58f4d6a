-- The clock, and not the transaction's beginning: what is marked was acknowledged before that time.
UPDATE dead_letter AS letter
SET redriven_at = clock_timestamp()
FROM unnest(%(topics)s::text[], %(partitions)s::integer[], %(offsets)s::bigint[])
     AS sent (topic, partition, record_offset)
WHERE letter.consumer_group = %(consumer_group)s
  AND letter.topic = sent.topic
  AND letter.partition = sent.partition
  AND letter.record_offset = sent.record_offset
