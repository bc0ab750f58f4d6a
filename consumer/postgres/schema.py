"""The schema, `schema.sql` and what follows it: applied, and compared with a database's."""

from pathlib import Path
from urllib.parse import quote

from psycopg import sql

from consumer.errors import UnfitDatabase
from consumer.postgres.connection import Connection
from consumer.postgres.statements import statement

_LOCK = 0x77617474_0003
_FILES = ("schema.sql", "energy.sql", "rollup.sql")
_SCRATCH = "wattline_schema_check"
# The names of headers and the places of meters may be of any letters.
_ENCODINGS = ("UTF8", "SQL_ASCII")

Facts = set[tuple[str, str]]


def schema_files() -> list[Path]:
    """Return the files of the schema, from beside this module in a wheel, else from the root."""
    here = Path(__file__).parents[1]
    folder = here if (here / _FILES[0]).exists() else here.parent
    return [folder / name for name in _FILES]


def schema_text() -> str:
    """Return the files of the schema as one text."""
    return "\n".join(file.read_text() for file in schema_files())


async def apply_schema(connection: Connection) -> None:
    """Create what is missing; what exists stays as it is. Two at once are safe.

    Raises UnfitDatabase and psycopg.Error.
    """
    if unfit := await _unfit(connection):
        raise UnfitDatabase(unfit)
    async with connection.transaction():
        await connection.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK])
        await connection.execute(schema_text())


async def check_schema(connection: Connection) -> list[str]:
    """Return how the database differs from the schema's files, a line each; nothing is changed.

    The schema is created in a scratch schema, described by the catalogue as the real one is,
    and rolled back, so that it stands written once only. Raises psycopg.Error.
    """
    if unfit := await _unfit(connection):
        return [unfit]
    cursor = await connection.execute("SELECT current_schema()")
    row = await cursor.fetchone()
    if row is None or row[0] is None:
        return ["the search path names no schema that exists"]
    actual = await _facts(connection, row[0])
    wanted: Facts = set()
    async with connection.transaction(force_rollback=True):
        await connection.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK])
        scratch = sql.Identifier(_SCRATCH)
        await connection.execute(sql.SQL("CREATE SCHEMA {}").format(scratch))
        await connection.execute(sql.SQL("SET LOCAL search_path TO {}").format(scratch))
        await connection.execute(schema_text())
        wanted = await _facts(connection, _SCRATCH)
    return _differences(wanted, actual)


async def _unfit(connection: Connection) -> str | None:
    """Return why no tables are to be made here, a line; None where they may be.

    Tables that are found only by the search path of the database or the role stay alone: beside
    them, a second set would begin with Kafka's earliest records.
    """
    encoding = connection.info.parameter_status("server_encoding")
    if encoding not in _ENCODINGS:
        return f"the database's encoding is {encoding}, and should be UTF8"
    async with connection.transaction(force_rollback=True):
        here = await _schema_of_tables(connection)
        await connection.execute(
            "SELECT set_config(name, reset_val, true) FROM pg_settings WHERE name = 'search_path'"
        )
        there = await _schema_of_tables(connection)
    if here is None and there is not None:
        return (
            f"the tables are in the schema {there}, by a search_path of the database or the role,"
            f" which is not followed: add ?options=-csearch_path%3D{quote(there)} to DATABASE_URL"
        )
    return None


async def _schema_of_tables(connection: Connection) -> str | None:
    cursor = await connection.execute(
        "SELECT relnamespace::regnamespace::text FROM pg_class"
        " WHERE oid = to_regclass('ingest_offset')"
    )
    row = await cursor.fetchone()
    return None if row is None else str(row[0])


def _differences(wanted: Facts, actual: Facts) -> list[str]:
    """Return what is missing and what is there besides, of the objects that are wanted."""
    objects = {name for name, _ in wanted}
    present = {name for name, _ in actual}
    lines = [f"{name}: is not there" for name in sorted(objects - present)]
    lines += [
        f"{name}: missing: {fact}" for name, fact in sorted(wanted - actual) if name in present
    ]
    lines += [
        f"{name}: not in the schema: {fact}"
        for name, fact in sorted(actual - wanted)
        if name in objects
    ]
    return lines


async def _facts(connection: Connection, schema: str) -> Facts:
    cursor = await connection.execute(statement("describe_schema"), {"schema": schema})
    return {(name, fact) async for name, fact in cursor}
