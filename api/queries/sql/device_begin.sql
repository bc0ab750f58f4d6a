-- Whether a device sent a reading by the start of a window, and the time of its first one in it.
SELECT EXISTS (
           SELECT FROM {history}
           WHERE {id} = %(device_id)s AND recorded_at <= %(start)s
       ) AS is_older, (
           SELECT min(recorded_at) FROM {history}
           WHERE {id} = %(device_id)s AND recorded_at > %(start)s AND recorded_at <= %(end)s
       ) AS first_at
