-- Implausible vehicles first, by falling ratio, then those with a band, by rising ratio.
-- The threshold is divided, not the ratio multiplied: 0.57 × 100 is below 57, but 57 / 100 is 0.57.
SELECT vehicle_id, status, ratio, percentage, ac_kwh, dc_kwh, vehicle_coverage, meter_coverage,
       rank, weight
FROM fleet_performance(%(start)s, %(end)s),
    LATERAL (SELECT CASE status WHEN 'implausible' THEN 0 ELSE 1 END AS rank,
                    CASE status WHEN 'implausible' THEN -ratio ELSE ratio END AS weight) AS place
WHERE (status = 'implausible'
       OR status IN ('optimal', 'degraded', 'critical') AND ratio < %(threshold)s / 100)
  AND (rank, weight, vehicle_id) > (%(after_rank)s, %(after_weight)s, %(after_id)s)
ORDER BY rank, weight, vehicle_id
LIMIT %(limit)s
