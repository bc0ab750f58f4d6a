"""What is true, and what the product makes of it.

`witness` writes the truth of a run, `truth` reads it, `expected` says what is to be answered;
`snapshot` and `compare` hold the database to the ledger, `answers` the API to the truth.
"""
