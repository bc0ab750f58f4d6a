-- The notes that wait, and the vehicles that wait although the hour that was noted is over. The current hour waits
-- until it is over: it would be noted again at once.
SELECT (SELECT count(*) FROM rollup_due),
       (SELECT count(*) FROM vehicle_due WHERE noted_at < date_trunc('hour', now() - interval '5 minutes'))
