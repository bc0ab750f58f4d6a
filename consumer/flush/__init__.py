"""One batch: bytes → rows → one transaction.

Read `decode` (with `instants`), `columns`, `flush`, then `sink` (with `registered` and `history`).
`decoder` runs `decode` in steps.
"""
