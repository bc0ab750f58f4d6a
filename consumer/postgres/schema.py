"""The schema of a database: applied, and compared with the schema's files.

1. A database without tables gets the whole schema at once, at the newest version.
2. Else the migrations that it lacks run in order, each in a transaction of its own. The last one's
   transaction also creates what is missing and replaces functions and views, so that a version
   that can be seen is complete.
3. If it lacks none, what is missing or differs is created or replaced, if it can be.

`consumer/postgres/schema_turn.py` says how each transaction gets its turn.
"""

from dataclasses import dataclass
from functools import partial

from psycopg import sql

from consumer.errors import UnfitDatabase
from consumer.postgres.connection import Connection
from consumer.postgres.migrations import (
    Migration,
    migrations,
    objects_text,
    schema_text,
)
from consumer.postgres.schema_turn import Tell, alone, nobody, read_version, repeatedly
from consumer.postgres.statements import statement

_SCRATCH = "wattline_schema_check"

Facts = set[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Plan:
    """What `apply_schema` would do; `version` is the database's, None if it has no tables."""

    version: int | None
    missing: tuple[Migration, ...]
    differences: list[str]


async def apply_schema(connection: Connection, *, tell: Tell = nobody) -> list[str]:
    """Bring the schema to the newest version and return what was done, a line each.

    Safe to repeat; of several at once, one does it, and the others `tell` that they wait. Raises
    UnfitDatabase if it cannot be done here, and psycopg.Error.
    """
    return await repeatedly(partial(_take_step, connection, tell))


async def _take_step(connection: Connection, tell: Tell) -> tuple[list[str], bool]:
    """Make one transaction's changes; return what was done, and whether it was the last."""
    async with alone(connection, tell):
        version = await read_version(connection)
        missing = _missing(version)
        if version is None:
            await connection.execute(schema_text())
            return [f"created at version {migrations()[-1].version}"], True
        if missing:
            await connection.execute(missing[0].text)
            await connection.execute(missing[0].note())
            if len(missing) == 1:
                await connection.execute(objects_text())
            return [f"applied {missing[0].name}"], len(missing) == 1
        if await _compare(connection):
            await connection.execute(objects_text())
            return ["created or replaced what differed, as far as that can be done"], True
        return [], True


async def check_schema(connection: Connection, *, tell: Tell = nobody) -> list[str]:
    """Return which migrations are missing and how objects differ, a line each; change nothing.

    Another `apply` is waited for, and `tell` told so. Raises what `apply_schema` raises.
    """
    plan = await plan_schema(connection, tell=tell)
    return [f"migration {one.name}: is not applied" for one in plan.missing] + plan.differences


async def plan_schema(connection: Connection, *, tell: Tell = nobody) -> Plan:
    """Return what `apply_schema` would do; raises what it raises, and changes nothing."""
    async with alone(connection, tell, force_rollback=True):
        version = await read_version(connection)
        return Plan(version, _missing(version), await _compare(connection))


def _missing(version: int | None) -> tuple[Migration, ...]:
    """Return the migrations that the database lacks; raises UnfitDatabase if it is newer."""
    newest = migrations()[-1].version
    if version is not None and version > newest:
        raise UnfitDatabase(
            f"the schema is at version {version}, and this code knows versions up to {newest}:"
            " use the release that made it, or a newer one"
        )
    return tuple(one for one in migrations() if version is not None and one.version > version)


async def require_newest(connection: Connection) -> None:
    """Raise UnfitDatabase unless the schema is there, at the newest version."""
    version = await read_version(connection)
    if version is None or _missing(version):
        found = "there are no tables here" if version is None else f"the schema is at {version}"
        raise UnfitDatabase(f"{found}: run `python -m consumer schema apply` first")


async def _compare(connection: Connection) -> list[str]:
    """Return how the objects of the database differ from those of the files.

    These are created in a scratch schema, described by the catalogue as the real ones are, and
    rolled back, so that the schema stands written once only. Raises UnfitDatabase if the role may
    not make one.
    """
    await _require_scratch(connection)
    cursor = await connection.execute("SELECT current_schema()")
    row = await cursor.fetchone()
    if row is None or row[0] is None:
        return ["the search path names no schema that exists"]
    actual = await _facts(connection, row[0])
    wanted: Facts = set()
    async with connection.transaction(force_rollback=True):
        scratch = sql.Identifier(_SCRATCH)
        await connection.execute(sql.SQL("CREATE SCHEMA {}").format(scratch))
        await connection.execute(sql.SQL("SET LOCAL search_path TO {}").format(scratch))
        await connection.execute(objects_text())
        wanted = await _facts(connection, _SCRATCH)
    return _differences(wanted, actual)


async def _require_scratch(connection: Connection) -> None:
    cursor = await connection.execute(
        "SELECT current_user, current_database(), has_database_privilege(current_database(),"
        " 'CREATE')"
    )
    row = await cursor.fetchone()
    if row is not None and not row[2]:
        version = await read_version(connection)
        raise UnfitDatabase(
            f"the schema is at version {version or 0}, this code needs {migrations()[-1].version};"
            f" to compare it takes a scratch schema, which {row[0]} may not make:"
            f" GRANT CREATE ON DATABASE {row[1]}, or ask as a member of wattline_owner"
        )


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
