-- Says that a day's readings go, and lets the following day be done anew: a register's first reading has lost the one
-- that it is compared with.
WITH removed AS (
    INSERT INTO history_removed AS known (stream, until)
    VALUES (%(stream)s, (%(day)s::date + 1)::timestamp AT TIME ZONE 'UTC')
    ON CONFLICT (stream) DO UPDATE SET until = greatest(known.until, excluded.until)
), done AS (
    DELETE FROM vehicle_day_done WHERE day = %(day)s::date + 1
)
DELETE FROM vehicle_day WHERE day = %(day)s::date + 1
