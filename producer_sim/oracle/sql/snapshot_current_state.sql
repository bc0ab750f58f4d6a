-- PostgreSQL: the current state of the given devices, or of all.
COPY (
    SELECT {id}, (extract(epoch FROM recorded_at) * 1000000)::bigint, {measures}
    FROM {table}
    WHERE %(exact)s OR {id} IN (SELECT unnest(%(devices)s::text[]))
) TO STDOUT (FORMAT csv)
