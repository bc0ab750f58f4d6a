"""What is true of a run, and whether the product agrees; `verdict` is the result.

`verify`, `snapshot` and `compare` check the database against the ledger. `witness` records the
`truth`; `expected` and `quirky_expected` derive the right answers from it, with the `spans` of the
`schedule` of each device; `ask` and `answers` check the API's answers.
"""
