-- The owner of a history if this role has not the owner's rights, and this role.
SELECT pg_get_userbyid(relowner), current_user
FROM pg_class
WHERE oid IN ('meter_history'::regclass, 'vehicle_history'::regclass) AND NOT pg_has_role(relowner, 'USAGE')
LIMIT 1
