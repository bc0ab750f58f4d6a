-- Of new assignments, in their order: whether one of the vehicle overlaps, and how many of it start on that UTC day.
SELECT EXISTS (SELECT FROM vehicle_meter_assignment AS known
               WHERE exactly(known.vehicle_id) = exactly(new.vehicle_id)
                 AND known.during && tstzrange(new.started_at, new.ended_at, '(]')) AS overlaps,
       (SELECT count(*) FROM vehicle_meter_assignment AS known
        WHERE exactly(known.vehicle_id) = exactly(new.vehicle_id)
          AND known.during && tstzrange(new.day, new.day + interval '24 hours', '[]')
          AND known.started_at >= new.day AND known.started_at < new.day + interval '24 hours') AS of_day
FROM unnest(%(vehicle_ids)s::text[], %(starts)s::timestamptz[], %(ends)s::timestamptz[], %(days)s::timestamptz[])
         WITH ORDINALITY AS new (vehicle_id, started_at, ended_at, day, place)
ORDER BY place
