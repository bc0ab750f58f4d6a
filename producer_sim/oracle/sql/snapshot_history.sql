-- PostgreSQL: the stored readings of the given devices and times, or all of them.
COPY (
    SELECT {id}, (extract(epoch FROM recorded_at) * 1000000)::bigint, {measures}
    FROM {table}
    WHERE %(exact)s OR (
        {id} IN (SELECT unnest(%(devices)s::text[]))
        AND recorded_at BETWEEN %(first_at)s AND %(last_at)s
    )
) TO STDOUT (FORMAT csv)
