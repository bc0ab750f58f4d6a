-- Properties that are not in the changes stay as they are; null clears one.
UPDATE {registry} AS old
SET ({properties}, valid_from, updated_at) = (
    SELECT {properties}, valid_from, now()
    FROM jsonb_populate_record(old, %(changes)s)
)
WHERE {id} = %(device_id)s
RETURNING {id}, {properties}, nullif(valid_from, '-infinity') AS valid_from, created_at, updated_at
