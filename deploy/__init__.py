"""How Wattline is run here: local/ starts Kafka and PostgreSQL, replica.py a service, demo/ all.

The other folders are configuration for Compose, Prometheus and Grafana.
"""
