"""The service: readings from Kafka into PostgreSQL, each exactly once.

The way of a message: `source` → `batch` → `columns` (decoded) → `sink`; `pipeline` drives it.
"""
