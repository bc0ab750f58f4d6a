-- PostgreSQL: the newest reading in history of each given device, through the primary key's index.
COPY (
    SELECT device.id, (extract(epoch FROM newest.recorded_at) * 1000000)::bigint, {measures}
    FROM unnest(%(devices)s::text[]) AS device (id)
    CROSS JOIN LATERAL (
        SELECT * FROM {table} AS h WHERE h.{id} = device.id ORDER BY h.recorded_at DESC LIMIT 1
    ) AS newest
) TO STDOUT (FORMAT csv)
