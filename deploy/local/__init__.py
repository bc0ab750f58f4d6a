"""A real Apache Kafka and a real PostgreSQL on this machine, without containers.

Read stack first (up and down), then startup; kafka/ and postgres/ each run one server.
"""
