"""How large tables are."""

from collections.abc import Iterable
from typing import NamedTuple

from consumer.postgres.connection import Connection
from consumer.postgres.statements import statement


class Size(NamedTuple):
    """The size of a table with its indexes; `rows` is an estimate. None: not known."""

    rows: int | None = None
    bytes: int | None = None


async def measure_tables(connection: Connection, names: Iterable[str]) -> dict[str, Size]:
    """Return the sizes by name; a table that is gone, or partitioned itself, is left out."""
    cursor = await connection.execute(statement("measure_tables"), {"names": list(names)})
    return {name: Size(rows, size) async for name, rows, size in cursor}
