-- Vehicles and energy by status; the energy of all that have a band; why some lack the data to be judged; and
-- the ten worst.
WITH performance AS MATERIALIZED (
    SELECT * FROM fleet_performance(%(start)s, %(end)s)
)
SELECT (SELECT coalesce(jsonb_object_agg(status, to_jsonb(one)), '{}')
        FROM (SELECT status, count(*) AS vehicles, sum(ac_kwh) AS ac_kwh, sum(dc_kwh) AS dc_kwh
              FROM performance GROUP BY status) AS one) AS statuses,
       coalesce(sum(ac_kwh) FILTER (WHERE status IN ('optimal', 'degraded', 'critical')), 0) AS judged_ac_kwh,
       coalesce(sum(dc_kwh) FILTER (WHERE status IN ('optimal', 'degraded', 'critical')), 0) AS judged_dc_kwh,
       (SELECT jsonb_build_object(
            'silent', count(*) FILTER (WHERE vehicle_coverage < 0.5),
            'meter_silent', count(*) FILTER (WHERE vehicle_coverage >= 0.5 AND meter_coverage < 0.5),
            'little', count(*) FILTER (WHERE vehicle_coverage >= 0.5 AND meter_coverage >= 0.5))
        FROM performance WHERE status = 'insufficient_data') AS lacking,
       (SELECT coalesce(jsonb_agg(to_jsonb(one)), '[]')
        FROM (SELECT * FROM performance
              WHERE status IN ('degraded', 'critical', 'implausible')
              ORDER BY status <> 'implausible', CASE status WHEN 'implausible' THEN -ratio ELSE ratio END, vehicle_id
              LIMIT 10) AS one) AS worst,
       statement_timestamp() AS as_of
FROM performance
