"""The service: readings from Kafka into PostgreSQL, each exactly once.

The way of a message: `source` → `batch` → `decode` → `sink`; `pipeline` drives it.
"""
