WITH readings AS (
    DELETE FROM {history} WHERE {id} = ANY (%(devices)s)
), state AS (
    DELETE FROM {current_state} WHERE {id} = ANY (%(devices)s)
), due AS (
    DELETE FROM vehicle_due WHERE %(stream)s = 'vehicle' AND vehicle_id = ANY (%(devices)s)
)
DELETE FROM vehicle_day WHERE %(stream)s = 'vehicle' AND vehicle_id = ANY (%(devices)s)
