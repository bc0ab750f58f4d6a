SELECT {id}, {properties}, nullif(valid_from, '-infinity') AS valid_from, created_at, updated_at
FROM {registry}
WHERE {id} > %(after)s AND {filters}
ORDER BY {id}
LIMIT %(limit)s
