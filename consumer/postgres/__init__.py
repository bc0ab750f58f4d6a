"""PostgreSQL: connections, what its errors mean, its binary format, and the statements in `sql/`.

Read `database` first, then `failures` and `refusals`; each other file is one kind of table.
"""
