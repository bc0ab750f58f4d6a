"""The rows that a statement returns, each a mapping by column."""

from typing import Any, LiteralString

from psycopg.rows import DictRow

from api.postgres.database import Connection

Query = LiteralString | bytes


async def all_rows(connection: Connection, query: Query, **parameters: Any) -> list[DictRow]:
    """Return every row."""
    cursor = await connection.execute(query, parameters)
    return await cursor.fetchall()


async def first_row(connection: Connection, query: Query, **parameters: Any) -> DictRow | None:
    """Return the first row, None if there is none."""
    cursor = await connection.execute(query, parameters)
    return await cursor.fetchone()


async def only_row(connection: Connection, query: Query, **parameters: Any) -> DictRow:
    """Return the row of a statement that always returns one."""
    row = await first_row(connection, query, **parameters)
    assert row is not None  # noqa: S101  the statement returns one, always
    return row
