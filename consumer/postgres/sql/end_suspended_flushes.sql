-- Sessions whose transaction has moved an offset of this group (its id is the xmax of the row that
-- others still see) and that have waited for their own client for over two seconds. A flush that
-- is well never does: it has all that it sends at hand.
SELECT pg_terminate_backend(session.pid)
FROM (
    SELECT DISTINCT session.pid
    FROM ingest_offset AS stored
    JOIN pg_stat_activity AS session ON session.backend_xid = stored.xmax
    WHERE stored.consumer_group = %(consumer_group)s
      AND session.pid <> pg_backend_pid()
      AND session.wait_event = 'ClientRead'
      AND session.state_change < clock_timestamp() - interval '2 seconds'
) AS session
