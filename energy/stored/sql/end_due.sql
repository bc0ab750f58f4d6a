DELETE FROM vehicle_due WHERE vehicle_id = ANY (%(vehicles)s)
