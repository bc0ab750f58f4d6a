"""Kafka: a member of the group reads records by column, from offsets of our own.

Read `source` first, then `fetched` and `batches`; `aiokafka_patches` says what is replaced and why.
"""
