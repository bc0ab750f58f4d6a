"""Reads from PostgreSQL what the answers about energy are computed from."""
