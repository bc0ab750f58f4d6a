-- Their history is about to go: until it has, it is taken from there. The day on the edge is owed even
-- where nothing of it is rolled up yet, for a late reading may change that at any time.
WITH forgotten AS (
    DELETE FROM energy_rollup WHERE day < %(first_kept)s RETURNING stream, day
)
INSERT INTO rollup_owed (stream, day)
SELECT stream, day FROM forgotten
UNION
SELECT stream, %(first_kept)s::date - 1 FROM unnest(%(streams)s::text[]) AS stream
ON CONFLICT (stream, day) DO UPDATE SET done_to = ''
