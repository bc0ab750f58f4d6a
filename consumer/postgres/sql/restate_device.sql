-- Current state becomes the newest reading that is left in history; if there is none, it goes.
WITH newest AS (
    SELECT recorded_at, {measures} FROM {history} WHERE {id} = %(device)s ORDER BY recorded_at DESC LIMIT 1
), restated AS (
    UPDATE {current_state} AS known
    SET (recorded_at, {measures}, updated_at) = (SELECT newest.*, now() FROM newest)
    WHERE {id} = %(device)s AND EXISTS (SELECT FROM newest)
)
DELETE FROM {current_state} WHERE {id} = %(device)s AND NOT EXISTS (SELECT FROM newest)
