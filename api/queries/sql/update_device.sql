-- Properties that are not in the changes stay as they are; null clears one.
UPDATE {registry} AS old
SET ({properties}, updated_at) = (
    SELECT {properties}, now()
    FROM jsonb_populate_record(old, %(changes)s)
)
WHERE {id} = %(device_id)s
RETURNING {id}, {properties}, created_at, updated_at
