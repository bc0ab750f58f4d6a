DELETE FROM vehicle_day_due WHERE day = %(day)s
