INSERT INTO {registry} ({id}, {properties})
VALUES (%(device_id)s, {values})
ON CONFLICT DO NOTHING
RETURNING {id}, {properties}, created_at, updated_at
