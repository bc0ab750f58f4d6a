"""Every message that was sent, with the broker's report on it, in Parquet files.

Read `reports`, then `part` (the columns), then `ledger`; `book` is what the sender sees of it.
"""
