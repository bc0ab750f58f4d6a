"""The service: readings from Kafka into PostgreSQL, each exactly once.

The way of a message: `kafka.source` → `batch` → `flush.decode` → `flush.sink`. Read `pipeline`
first, then `schedule`, which tells it what comes next, and `wiring`, which joins the parts.
"""
