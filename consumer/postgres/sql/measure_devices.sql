-- How many readings of each device are stored, and when the last one was stored. It may be a late
-- one, which current state does not show.
SELECT {id}, count(*), max(ingested_at) FROM {history} WHERE {id} = ANY (%(devices)s) GROUP BY {id}
