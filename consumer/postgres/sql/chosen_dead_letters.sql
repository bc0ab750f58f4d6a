-- Which dead letters of a group a command is about: the condition that its statements share.
(%(reason)s::text IS NULL OR reason = %(reason)s)
  AND (%(topic)s::text IS NULL OR topic = %(topic)s)
  AND (%(partition)s::integer IS NULL OR partition = %(partition)s)
  AND (%(record_offset)s::bigint IS NULL OR record_offset = %(record_offset)s)
  AND (%(since)s::timestamptz IS NULL OR dead_lettered_at >= %(since)s)
  AND (%(until)s::timestamptz IS NULL OR dead_lettered_at < %(until)s)
  AND (%(redriven)s::boolean IS NULL OR (redriven_at IS NOT NULL) = %(redriven)s)
