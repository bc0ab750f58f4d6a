-- How far a consumer group has come, how long ago it moved last, and the names of three other groups.
SELECT coalesce((
           SELECT jsonb_agg(jsonb_build_object(
               'topic', topic, 'partition', partition, 'next_offset', next_offset))
           FROM ingest_offset
           WHERE consumer_group = %(group)s AND topic = ANY (%(topics)s)
       ), '[]') AS offsets, (
           SELECT extract(epoch FROM statement_timestamp() - max(updated_at))::float8
           FROM ingest_offset
           WHERE consumer_group = %(group)s AND topic = ANY (%(topics)s)
       ) AS still_s, ARRAY (
           SELECT DISTINCT consumer_group FROM ingest_offset
           WHERE consumer_group <> %(group)s AND topic = ANY (%(topics)s)
           ORDER BY consumer_group
           LIMIT 3
       ) AS other_groups, statement_timestamp() AS at
