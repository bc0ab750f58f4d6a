"""The schema's version and its encoding, and whether code and database fit each other.

A newer replica waits on an older schema. An older replica goes on working on a newer one until a
migration says that its code is too old for it, and then it ends: first the schema grows, then the
replicas are replaced, and what is no longer used is removed by a later migration.
"""

from typing import Any

import psycopg
from psycopg import AsyncConnection
from psycopg.errors import DatatypeMismatch, UndefinedColumn, UndefinedTable
from psycopg.rows import tuple_row

# The number of the newest file in schema/migrations/.
NEEDED = 5

_VERSION = "SELECT coalesce(max(version), 0), coalesce(max(oldest_code), 0) FROM schema_version"
_ANOTHERS = (
    "the table schema_version is another program's, its columns are not Wattline's (Flyway had one"
    " of this name): give Wattline a schema of its own by ?options=-csearch_path%3Dwattline in"
    " DATABASE_URL"
)


class UnfitSchema(psycopg.Error):
    """The schema is too old for this code, too new, or another program's. The message is one line.

    It counts as a statement that PostgreSQL refuses: the server is well, and waiting helps unless
    the code is outdated.
    """

    # Of the class of what is not there or not allowed; no code of PostgreSQL's own.
    sqlstate = "42WL2"


class OutdatedCode(UnfitSchema):
    """The schema is too new for this code: waiting does not help, a newer release does."""


async def require_schema(connection: AsyncConnection[Any]) -> None:
    """Raise UnfitSchema unless this code can work on the database's schema.

    It is OutdatedCode if the schema is too new. The connection is in autocommit. Raises
    psycopg.Error too.
    """
    if line := misencoded(connection):
        raise UnfitSchema(line)
    try:
        found = await read_versions(connection)
    except UndefinedTable:
        found = (0, 0)  # made before there were versions, or not made yet
    if line := misfit(*found):
        raise OutdatedCode(line) if found[1] > NEEDED else UnfitSchema(line)


async def read_versions(connection: AsyncConnection[Any]) -> tuple[int, int]:
    """Return the schema's version, and the lowest that code may need and still work on it.

    Raises UndefinedTable before there were versions, UnfitSchema if the table is another program's,
    and other errors of psycopg's.
    """
    async with connection.cursor(row_factory=tuple_row) as cursor:
        try:
            await cursor.execute(_VERSION)
        except (UndefinedColumn, DatatypeMismatch) as error:
            raise UnfitSchema(_ANOTHERS) from error
        return await cursor.fetchone() or (0, 0)


def misencoded(connection: AsyncConnection[Any]) -> str | None:
    """Return one line that says why this database cannot hold every letter; None if it can.

    Names of headers and places of meters may be of any letters, and their lengths are letters.
    """
    encoding = connection.info.parameter_status("server_encoding")
    if encoding in ("UTF8", None):  # a pooler may not tell
        return None
    return f"the database's encoding is {encoding}, and should be UTF8"


def misfit(version: int, oldest_code: int) -> str | None:
    """Return one line that says why this code cannot work on this schema; None if it can."""
    if version < NEEDED:
        return (
            f"the schema is at version {version}, this code needs {NEEDED}:"
            " run `python -m consumer schema apply`"
        )
    if oldest_code > NEEDED:
        return (
            f"the schema is at version {version} and works with code that needs {oldest_code} or"
            f" newer, this code needs {NEEDED}: run a newer release"
        )
    return None
