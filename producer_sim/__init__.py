"""A fleet of meters and electric vehicles that sends, remembers what it sent, and checks.

`run` sends live load, `replay` recorded readings; both keep a ledger of every message. `verify`
compares ledgers with what the database holds.
"""
