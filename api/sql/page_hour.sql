-- The fleet's energy of an hour or less: of vehicles with a meter whose readings, and whose meters',
-- cover half of it, and which are not implausible. Too little energy is no reason to leave one out here.
SELECT coalesce(sum(ac_kwh), 0) AS ac_kwh, coalesce(sum(dc_kwh), 0) AS dc_kwh
FROM fleet_performance(%(start)s, %(end)s)
WHERE status IN ('optimal', 'degraded', 'critical')
   OR status = 'insufficient_data' AND vehicle_coverage >= 0.5 AND meter_coverage >= 0.5
