"""What readings are worth, and whose energy it is: docs/energy.md as code. Pure, no I/O.

Read `device`, then `interval` and `register` (one reading's worth), `spread` (where its energy
lies), `coverage`, `bonds` (who charged whom), and last `performance`, which adds all of it up.
"""
