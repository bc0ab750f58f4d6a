-- Whether any vehicle sent a reading by the start of a window; if none did, the time of the first reading
-- in it. That is looked up by device, because history has no index by time.
SELECT before.is_there AS is_older, CASE WHEN NOT before.is_there THEN (
           SELECT min(first.recorded_at)
           FROM vehicle_current_state AS state
           CROSS JOIN LATERAL (
               SELECT recorded_at FROM vehicle_history
               WHERE vehicle_id = state.vehicle_id AND recorded_at > %(start)s AND recorded_at <= %(end)s
               ORDER BY recorded_at LIMIT 1
           ) AS first
       ) END AS first_at
FROM (SELECT EXISTS (SELECT FROM vehicle_history WHERE recorded_at <= %(start)s) AS is_there) AS before
