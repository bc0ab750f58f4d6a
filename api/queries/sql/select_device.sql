SELECT {id}, {properties}, created_at, updated_at
FROM {registry}
WHERE {id} = %(device_id)s
