"""A simulated fleet of meters and electric vehicles, and the check of what became of its readings.

`run` sends live load, `replay` recorded readings; both keep a ledger of every message. `verify`
compares ledgers with the database. Read devices, runs, ledger, sending, then oracle.
"""
