-- Of days whose history goes.
WITH forgotten AS (
    DELETE FROM vehicle_day_done WHERE day < %(first_kept)s
)
DELETE FROM vehicle_day WHERE day < %(first_kept)s
