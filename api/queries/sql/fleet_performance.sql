-- The row of each vehicle is computed once; here they are summed up and ranked.
WITH performance AS MATERIALIZED (
    SELECT * FROM fleet_performance(%(start)s, %(end)s)
)
SELECT count(*) AS total,
       count(*) FILTER (WHERE status = 'optimal') AS optimal,
       count(*) FILTER (WHERE status = 'degraded') AS degraded,
       count(*) FILTER (WHERE status = 'critical') AS critical,
       count(*) FILTER (WHERE status = 'implausible') AS implausible,
       count(*) FILTER (WHERE status = 'insufficient_data') AS insufficient_data,
       count(*) FILTER (WHERE status = 'no_meter') AS no_meter,
       coalesce(sum(ac_kwh) FILTER (WHERE status IN ('optimal', 'degraded', 'critical')), 0) AS ac_kwh,
       coalesce(sum(dc_kwh) FILTER (WHERE status IN ('optimal', 'degraded', 'critical')), 0) AS dc_kwh,
       (SELECT coalesce(jsonb_agg(to_jsonb(one)), '[]')
        FROM (SELECT * FROM performance
              WHERE status IN ('degraded', 'critical', 'implausible')
              ORDER BY status <> 'implausible', CASE status WHEN 'implausible' THEN -ratio ELSE ratio END, vehicle_id
              LIMIT 10) AS one) AS worst,
       statement_timestamp() AS as_of
FROM performance
