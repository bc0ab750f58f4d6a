-- The energy of all vehicles in an hour or less, and of those that can be judged by it: they have a meter,
-- readings of both cover half of it, and they are not implausible. Vehicles with little energy are kept.
SELECT coalesce(sum(ac_kwh), 0) AS ac_kwh, coalesce(sum(dc_kwh), 0) AS dc_kwh,
       coalesce(sum(ac_kwh) FILTER (WHERE is_judged), 0) AS judged_ac_kwh,
       coalesce(sum(dc_kwh) FILTER (WHERE is_judged), 0) AS judged_dc_kwh
FROM (
    SELECT ac_kwh, dc_kwh,
           status IN ('optimal', 'degraded', 'critical')
           OR status = 'insufficient_data' AND vehicle_coverage >= 0.5 AND meter_coverage >= 0.5 AS is_judged
    FROM fleet_performance(%(start)s, %(end)s)
) AS vehicle
