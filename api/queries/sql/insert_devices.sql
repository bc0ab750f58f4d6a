-- Devices that are registered already, by their id or by another property that only one may have, are left out.
-- In the order of ids, so that two batches do not wait for each other.
INSERT INTO {registry} ({id}, {properties})
SELECT {id}, {properties}
FROM jsonb_populate_recordset(NULL::{registry}, %(devices)s::jsonb)
ORDER BY {id}
ON CONFLICT DO NOTHING
RETURNING {id}, {properties}, nullif(valid_from, '-infinity') AS valid_from, created_at, updated_at
