-- For the rollups: these hours are to be taken from history until they are rolled up again.
INSERT INTO rollup_due (stream, devices, hours) VALUES (%(stream)s, %(devices)b, %(hours)b)
