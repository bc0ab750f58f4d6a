"""Days of history, and the sessions that stand in the way of their making or their removal."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime, timedelta

import psycopg
import pytest
from psycopg import AsyncConnection
from psycopg.errors import LockNotAvailable

from consumer.postgres.connection import Connection
from consumer.postgres.days import date_of, list_days
from telemetry.streams import STREAMS
from tests.integration.conftest import rows

TODAY = datetime.now(UTC).date()
EPOCH = date(1970, 1, 1)
KEPT = TODAY - timedelta(days=10)
OLD = TODAY - timedelta(days=20)
DAYS = (
    "SELECT to_date(right(inhrelid::regclass::text, 8), 'YYYYMMDD') FROM pg_inherits"
    " WHERE inhparent = 'meter_history'::regclass AND NOT inhdetachpending ORDER BY 1"
)


def number(day: date) -> int:
    return (day - EPOCH).days


def name(day: date) -> str:
    return f"meter_history_{day:%Y%m%d}"


def meter_days(found: list[tuple[object, ...]]) -> list[object]:
    return [day for (day,) in found]


async def make_days_as_before(connection: Connection, numbers: Iterable[int]) -> None:
    """Make days as code did when the schema had no version: without triggers."""
    for day in map(date_of, numbers):
        for stream in STREAMS:
            table = f"{stream.history}_{day:%Y%m%d}"
            await connection.execute(
                f"CREATE TABLE {table} (LIKE {stream.history} INCLUDING ALL)"
                " WITH (autovacuum_vacuum_insert_scale_factor = 0.05)"
            )
            await connection.execute(
                f"ALTER TABLE {stream.history} ATTACH PARTITION {table}"
                f" FOR VALUES FROM ('{day} 00:00+00') TO ('{day + timedelta(days=1)} 00:00+00')"
            )


async def states(connection: Connection) -> dict[str, str]:
    return {day.name: day.state for day in await list_days(connection)}


@asynccontextmanager
async def long_reader(database_url: str, table: str = "meter_history") -> AsyncIterator[None]:
    """Read and stay in the transaction, as a long report or pg_dump does."""
    async with await AsyncConnection.connect(database_url) as reader:
        await reader.set_isolation_level(psycopg.IsolationLevel.REPEATABLE_READ)
        await reader.execute(f"SELECT count(*) FROM {table}")
        yield


async def detach_half(connection: Connection, database_url: str, day: date) -> None:
    """Leave the day between the two transactions of DETACH CONCURRENTLY."""
    async with long_reader(database_url):
        await connection.execute("SET lock_timeout = '1ms'")
        with pytest.raises(LockNotAvailable):
            await connection.execute(
                f"ALTER TABLE meter_history DETACH PARTITION {name(day)} CONCURRENTLY"
            )
        await connection.execute("RESET lock_timeout")
    assert (await states(connection))[name(day)] == "detaching"


async def killed(
    connection: Connection,
    database_url: str,
    work: Callable[[Connection], Coroutine[None, None, object]],
) -> None:
    """End the session that does the work as soon as it waits for somebody."""
    async with await AsyncConnection.connect(database_url, autocommit=True) as dying:
        working = asyncio.create_task(work(dying))
        await until_a_session_waits(connection)
        await connection.execute("SELECT pg_terminate_backend(%s)", [dying.info.backend_pid])
        with pytest.raises(psycopg.OperationalError):
            await working


async def until_a_session_waits(connection: Connection, step: str = "") -> None:
    query = (
        "SELECT 1 FROM pg_stat_activity WHERE datname = current_database()"
        f" AND wait_event_type = 'Lock' AND query LIKE '%{step}'"
    )
    while not await rows(connection, query):
        await asyncio.sleep(0.01)
