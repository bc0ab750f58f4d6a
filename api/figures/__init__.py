"""The figures that the pages show and that take long to compute, each remembered for a while.

Read `figures` first; `remembered` is the cache, `fleet_day` and `hours` what is kept in it.
"""
