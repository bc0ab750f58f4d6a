UPDATE vehicle_day_due SET done_to = %(done_to)s WHERE day = %(day)s
