"""A turn at the schema: the transaction of one step of its change, while no other session has one.

All transactions take one advisory lock first, however long that takes. What waits for other
sessions gives up soon and tries again: while a change waits for a table, everybody else waits
behind it.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TypeVar
from urllib.parse import quote

from psycopg import errors

from consumer.backoff import pause
from consumer.errors import UnfitDatabase
from consumer.postgres.connection import Connection
from runtime.postgres import locks
from runtime.postgres.schema_version import misencoded, read_versions

# A change waits this long for others at a time, and others for it.
LOCK_TIMEOUT = "1s"
_TRIES = 20
_LONGEST_PAUSE_S = 3.0
_IN_THE_WAY = (errors.LockNotAvailable, errors.DeadlockDetected)

_WAITING = "another `schema apply`, `check`, `roles` or `rollback` is running, waiting"

Tell = Callable[[str], None]
Result = TypeVar("Result")


def nobody(_: str) -> None:
    """Tell it to nobody."""


async def repeatedly(step: Callable[[], Awaitable[tuple[list[str], bool]]]) -> list[str]:
    """Take steps until one says that it was the last, and return what they did, a line each.

    Raises what `giving_way` raises.
    """
    done: list[str] = []
    while True:
        lines, is_last = await giving_way(step)
        done += lines
        if is_last:
            return done


async def giving_way(step: Callable[[], Awaitable[Result]]) -> Result:
    """Take a step, again after a pause if other sessions are in the way.

    Raises UnfitDatabase if they stay there, and what the step raises.
    """
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


@asynccontextmanager
async def alone(
    connection: Connection, tell: Tell, *, force_rollback: bool = False
) -> AsyncIterator[None]:
    """Make one transaction of the block, with the schema's lock; raises UnfitDatabase.

    Its own change and that of another session may take long. Only what it waits for otherwise, and
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


async def read_version(connection: Connection) -> int | None:
    """Return the database's version: 0 if it was made before versions, None without tables."""
    cursor = await connection.execute(
        "SELECT to_regclass('schema_version') IS NOT NULL, to_regclass('ingest_offset') IS NOT NULL"
    )
    has_version, has_tables = await cursor.fetchone() or (False, False)
    if not has_version:
        return 0 if has_tables else None
    version, _ = await read_versions(connection)
    return version


async def _lock(connection: Connection, tell: Tell) -> None:
    """Take the schema's lock, however long another has it."""
    cursor = await connection.execute("SELECT pg_try_advisory_xact_lock(%s)", [locks.SCHEMA])
    if await cursor.fetchone() == (False,):
        tell(_WAITING)
        await connection.execute("SELECT pg_advisory_xact_lock(%s)", [locks.SCHEMA])


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
