"""What is true of a run, and whether the product agrees; `verdict` is the result.

`verify`, `snapshot` and `compare` check the database against the ledger. `witness` records the
`truth`, `expected` derives the right answers from it, `ask` and `answers` check the API's answers.
"""
