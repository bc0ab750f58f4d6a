"""Kafka for every service. Read settings first, then brokers, then topics."""
