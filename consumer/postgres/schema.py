"""The schema of a database: applied, and compared with the schema's files.

1. A database without tables gets the whole schema at once, at the newest version.
2. Else the migrations that it lacks run in order, each in a transaction of its own. The last one's
   transaction also creates what is missing and replaces functions and views, so that a version
   that can be seen is complete.
3. If it lacks none, what is missing or differs is created or replaced, if it can be.

All transactions take one advisory lock first, however long that takes. What waits for other
sessions gives up soon and tries again: while a change waits for a table, everybody else waits
behind it.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TypeVar
from urllib.parse import quote

from psycopg import errors, sql

from consumer.backoff import pause
from consumer.errors import UnfitDatabase
from consumer.postgres.connection import Connection
from consumer.postgres.migrations import (
    Migration,
    migrations,
    objects_text,
    schema_text,
)
from consumer.postgres.statements import statement
from runtime.postgres import locks
from runtime.postgres.schema_version import misencoded, read_versions

# A change waits this long for others at a time, and others for it.
LOCK_TIMEOUT = "1s"
_TRIES = 20
_LONGEST_PAUSE_S = 3.0
_IN_THE_WAY = (errors.LockNotAvailable, errors.DeadlockDetected)

_WAITING = "another `schema apply` or `schema check` is running, waiting"
_SCRATCH = "wattline_schema_check"

Facts = set[tuple[str, str]]
Tell = Callable[[str], None]
Result = TypeVar("Result")


def _nobody(_: str) -> None:
    pass


@dataclass(frozen=True, slots=True)
class Plan:
    """What `apply_schema` would do; `version` is the database's, None if it has no tables."""

    version: int | None
    missing: tuple[Migration, ...]
    differences: list[str]


async def apply_schema(connection: Connection, *, tell: Tell = _nobody) -> list[str]:
    """Bring the schema to the newest version and return what was done, a line each.

    Safe to repeat; of several at once, one does it, and the others `tell` that they wait. Raises
    UnfitDatabase if it cannot be done here, and psycopg.Error.
    """
    done: list[str] = []
    while True:
        step, is_last = await giving_way(lambda: _take_step(connection, tell))
        done += step
        if is_last:
            return done


async def giving_way(step: Callable[[], Awaitable[Result]]) -> Result:
    """Take a step, again after a pause if other sessions are in the way; raises UnfitDatabase."""
    failures = 0
    while True:
        try:
            return await step()
        except _IN_THE_WAY as error:
            failures += 1
            if failures == _TRIES:
                raise UnfitDatabase(
                    f"other sessions have kept the schema waiting {_TRIES} times:"
                    f" {error.diag.message_primary}; what was done stays done, try again later"
                ) from error
        await asyncio.sleep(pause(failures, longest=_LONGEST_PAUSE_S))


async def _take_step(connection: Connection, tell: Tell) -> tuple[list[str], bool]:
    """Make one transaction's changes; return what was done, and whether it was the last."""
    async with alone(connection, tell):
        version = await _version(connection)
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


async def check_schema(connection: Connection, *, tell: Tell = _nobody) -> list[str]:
    """Return which migrations are missing and how objects differ, a line each; change nothing.

    Another `apply` is waited for, and `tell` told so. Raises what `apply_schema` raises.
    """
    plan = await plan_schema(connection, tell=tell)
    return [f"migration {one.name}: is not applied" for one in plan.missing] + plan.differences


async def plan_schema(connection: Connection, *, tell: Tell = _nobody) -> Plan:
    """Return what `apply_schema` would do; raises what it raises, and changes nothing."""
    async with alone(connection, tell, force_rollback=True):
        version = await _version(connection)
        return Plan(version, _missing(version), await _compare(connection))


@asynccontextmanager
async def alone(
    connection: Connection, tell: Tell, *, force_rollback: bool = False
) -> AsyncIterator[None]:
    """Make one transaction of the block, with the schema's lock; raises UnfitDatabase.

    Its own change and that of another `apply` may take long. Only what it waits for otherwise, and
    lets others wait for, is bounded.
    """
    if unfit := await _unfit(connection):
        raise UnfitDatabase(unfit)
    async with connection.transaction(force_rollback=force_rollback):
        await connection.execute(
            "SELECT set_config('statement_timeout', '0', true),"
            " set_config('lock_timeout', '0', true)"
        )
        await _lock(connection, tell)
        await connection.execute("SELECT set_config('lock_timeout', %s, true)", [LOCK_TIMEOUT])
        yield


async def _lock(connection: Connection, tell: Tell) -> None:
    """Take the schema's lock, however long another has it."""
    cursor = await connection.execute("SELECT pg_try_advisory_xact_lock(%s)", [locks.SCHEMA])
    if await cursor.fetchone() == (False,):
        tell(_WAITING)
        await connection.execute("SELECT pg_advisory_xact_lock(%s)", [locks.SCHEMA])


def _missing(version: int | None) -> tuple[Migration, ...]:
    """Return the migrations that the database lacks; raises UnfitDatabase if it is newer."""
    newest = migrations()[-1].version
    if version is not None and version > newest:
        raise UnfitDatabase(
            f"the schema is at version {version}, and this code knows versions up to {newest}:"
            " use the release that made it, or a newer one"
        )
    return tuple(one for one in migrations() if version is not None and one.version > version)


async def _version(connection: Connection) -> int | None:
    """Return the database's version: 0 if it was made before versions, None without tables."""
    cursor = await connection.execute(
        "SELECT to_regclass('schema_version') IS NOT NULL, to_regclass('ingest_offset') IS NOT NULL"
    )
    has_version, has_tables = await cursor.fetchone() or (False, False)
    if not has_version:
        return 0 if has_tables else None
    version, _ = await read_versions(connection)
    return version


async def require_newest(connection: Connection) -> None:
    """Raise UnfitDatabase unless the schema is there, at the newest version."""
    version = await _version(connection)
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
        version = await _version(connection)
        raise UnfitDatabase(
            f"the schema is at version {version or 0}, this code needs {migrations()[-1].version};"
            f" to compare it takes a scratch schema, which {row[0]} may not make:"
            f" GRANT CREATE ON DATABASE {row[1]}, or ask as a member of wattline_owner"
        )


async def _unfit(connection: Connection) -> str | None:
    """Return why no tables are to be made here, a line; None if they may be.

    Tables that are found only by the search path of the database or the role stay alone: beside
    them, a second set would begin with Kafka's earliest records.
    """
    if line := misencoded(connection):
        return line
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
