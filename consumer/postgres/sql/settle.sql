-- What became of a transaction. A server that crashes forgets the ids that it had given out and not
-- written down, and gives them out again: an id alone may be that of another session's transaction.
SELECT pg_xact_status(%(transaction_id)s::xid8) AS status,
       EXISTS (SELECT FROM ingest_offset
               WHERE consumer_group = %(consumer_group)s
                 AND topic = %(topic)s
                 AND partition = %(partition)s
                 AND next_offset >= %(next_offset)s) AS has_moved
