-- Of days whose history goes: until it has gone, the days are computed from there.
WITH forgotten AS (
    DELETE FROM rollup_day WHERE day < %(first_kept)s
)
DELETE FROM energy_rollup WHERE day < %(first_kept)s
