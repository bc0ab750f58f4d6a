"""One batch: bytes → rows → one transaction.

Read `decode` (with `instants`), `columns`, then `sink` (with `registered` and `history`).
"""
