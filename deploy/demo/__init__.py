"""`make demo`: 600,000 readings from a simulator through real servers to the API, all checked.

Read __main__ first.
"""
