-- Set the hashes of those messages, once their bytes are written again.
UPDATE message SET key_sha256 = rewritten.key_sha256, value_sha256 = rewritten.value_sha256
FROM rewritten
WHERE message.topic = rewritten.topic
  AND message.partition = rewritten.partition
  AND message.record_offset = rewritten.record_offset;
