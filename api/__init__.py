"""The HTTP API: readings in through Kafka; state, history and energy out of PostgreSQL.

Read `app` first, then `ingest` for readings in, `routes`, `queries` and `postgres` for answers out.
"""
