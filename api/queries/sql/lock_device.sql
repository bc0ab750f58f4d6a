-- The device as it is until the end of the transaction.
SELECT {id}, {properties}, nullif(valid_from, '-infinity') AS valid_from
FROM {registry}
WHERE {id} = %(device_id)s
FOR NO KEY UPDATE
