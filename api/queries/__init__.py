"""The questions that routes and pages ask PostgreSQL: each a function that is lent a connection.

Read `rows` first, then `statements`. The caller chooses the lane: `database.lookup()`, `read()`, …
"""
