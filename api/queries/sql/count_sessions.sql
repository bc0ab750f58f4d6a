-- How many sessions of a vehicle, and of a meter, start on a UTC day.
SELECT (SELECT count(*) FROM charging_session
        WHERE exactly(vehicle_id) = exactly(%(vehicle_id)s)
          AND during && tstzrange(%(day)s, %(day_end)s, '[]')
          AND started_at >= %(day)s AND started_at < %(day_end)s) AS of_vehicle,
       (SELECT count(*) FROM charging_session
        WHERE exactly(meter_id) = exactly(%(meter_id)s)
          AND during && tstzrange(%(day)s, %(day_end)s, '[]')
          AND started_at >= %(day)s AND started_at < %(day_end)s) AS of_meter
