SELECT {id}, {properties}, nullif(valid_from, '-infinity') AS valid_from, created_at, updated_at
FROM {registry}
WHERE {id} = %(device_id)s
