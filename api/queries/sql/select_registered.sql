-- Which of these devices are registered.
SELECT {id}
FROM {registry}
WHERE {id} = ANY (%(device_ids)s)
