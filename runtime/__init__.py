"""What all services share: settings, logs, terminal, metrics, tasks.

Kafka, PostgreSQL and HTTP have a room each, and none of them knows the others.
"""
