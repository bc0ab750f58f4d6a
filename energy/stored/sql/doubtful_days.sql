SELECT vehicle_id, day FROM doubtful_days(%(vehicles)s, %(first)s, %(last)s, %(as_of)s)
