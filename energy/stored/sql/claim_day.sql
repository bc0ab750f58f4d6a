-- The newest day that is to be done, and the next vehicles of it, in order of their ids: null once all are done.
SELECT due.day,
       (SELECT array_agg(next.vehicle_id ORDER BY next.vehicle_id)
        FROM (SELECT known.vehicle_id
              FROM (SELECT vehicle_id FROM vehicle UNION SELECT vehicle_id FROM vehicle_current_state) AS known
              WHERE known.vehicle_id > due.done_to
              ORDER BY known.vehicle_id
              LIMIT %(most)s) AS next) AS vehicles
FROM vehicle_day_due AS due
ORDER BY due.day DESC
LIMIT 1
