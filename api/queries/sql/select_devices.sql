SELECT {id}, {properties}, created_at, updated_at
FROM {registry}
WHERE {id} > %(after)s
ORDER BY {id}
LIMIT %(limit)s
