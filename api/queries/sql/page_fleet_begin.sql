-- Whether a vehicle sent a reading by the start of a window, and else when the first one was taken in it.
-- The latter is looked up by device, for history has no index by time.
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
