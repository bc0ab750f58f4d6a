"""What the commands share: where they print, how they reach the database, how they fail."""

import asyncio
import shutil
import sys
from collections.abc import Awaitable, Callable, Sequence
from typing import NoReturn, TypeVar

import psycopg
from psycopg.errors import UndefinedColumn, UndefinedFunction, UndefinedTable
from rich import box
from rich.table import Table

from consumer.postgres.connection import Connection, connect
from consumer.settings import DatabaseSettings
from runtime.settings import load
from runtime.terminal import Terminal

Result = TypeVar("Result")

NUMERIC = {"messages", "redriven", "not whole", "next offset", "rows, about", "size"}

MOST_GROUPS = 10
# A narrow terminal wraps lines, which loses less than cut columns; in a pipe a row is a line.
LEAST_WIDTH = 120 if sys.stdout.isatty() else 200
out = Terminal(width=max(shutil.get_terminal_size().columns, LEAST_WIDTH))
errors = Terminal(stderr=True, soft_wrap=True)


def with_database(work: Callable[[Connection], Awaitable[Result]]) -> Result:
    """Run the work on a connection; the command fails with one line where it cannot be done."""
    settings = load(DatabaseSettings)

    async def task() -> Result:
        connection = await connect(settings)
        try:
            return await work(connection)
        finally:
            await connection.close()

    try:
        return asyncio.run(task())
    except (UndefinedTable, UndefinedColumn, UndefinedFunction) as error:
        what = error.diag.message_primary
        fail(f"PostgreSQL: {what}; `python -m consumer schema apply` makes it", code=1)
    except psycopg.Error as error:
        fail(f"PostgreSQL: {' '.join(str(error).split())}", code=1)


def nothing_of(group: str, what: str, others: Sequence[tuple[str, int]]) -> str:
    """Return the line that says who was asked and has none, and who has some: (group, count)."""
    line = f"{group} (CONSUMER_GROUP) has no {what}"
    if not others:
        return line
    listed = ", ".join(f"{other} {count:,}" for other, count in others[:MOST_GROUPS])
    more = len(others) - MOST_GROUPS
    return f"{line}; other groups have: {listed}{f' and {more:,} more' if more > 0 else ''}"


def table(*headers: str) -> Table:
    """Return an empty table; figures stand at the right of their columns."""
    made = Table(box=box.SIMPLE_HEAD)
    for header in headers:
        numeric = header in NUMERIC
        made.add_column(header, justify="right" if numeric else "left", no_wrap=header != "detail")
    return made


def fail(message: str, *, code: int) -> NoReturn:
    """End the command with one line on standard error."""
    errors.print(f"error: {message}")
    sys.exit(code)
