SELECT * FROM vehicle_performance(%(vehicle_id)s, %(start)s, %(end)s, %(meter_id)s)
