DELETE FROM {registry}
WHERE {id} = %(device_id)s
RETURNING {id}
