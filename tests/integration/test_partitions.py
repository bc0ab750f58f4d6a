"""Daily partitions on a real PostgreSQL, with more than one at it."""

import asyncio
from datetime import UTC, date, datetime, timedelta

import psycopg
import pytest
from psycopg import AsyncConnection

from consumer.database import Connection, connect
from consumer.partitions import drop_expired, list_partitions, maintain, make_partitions
from consumer.settings import DatabaseSettings, HistorySettings
from telemetry.streams import METER
from tests.integration.conftest import rows

TODAY = datetime.now(UTC).date()
EPOCH = date(1970, 1, 1)


def number(day: date) -> int:
    return (day - EPOCH).days


def meter_days(partitions: list[tuple[object, ...]]) -> list[object]:
    return [day for (day,) in partitions]


DAYS = (
    "SELECT to_date(right(inhrelid::regclass::text, 8), 'YYYYMMDD') FROM pg_inherits"
    " WHERE inhparent = 'meter_history'::regclass AND NOT inhdetachpending ORDER BY 1"
)


async def test_the_days_ahead_are_made_and_a_second_look_makes_none(
    connection: Connection,
) -> None:
    settings = HistorySettings(partitions_ahead_days=3)
    now_us = int(datetime.now(UTC).timestamp() * 1_000_000)
    made, dropped = await maintain(connection, settings, now_us=now_us)
    assert (made, dropped) == (2 * 5, [])
    days = [TODAY + timedelta(days=ahead) for ahead in range(-1, 4)]
    assert meter_days(await rows(connection, DAYS)) == days
    assert await maintain(connection, settings, now_us=now_us) == (0, [])


async def test_two_replicas_at_once_make_each_partition_once(
    database_settings: DatabaseSettings, connection: Connection
) -> None:
    replicas = [await connect(database_settings) for _ in range(4)]
    days = [number(TODAY) + ahead for ahead in range(5)]
    made = await asyncio.gather(*(make_partitions(replica, METER, days) for replica in replicas))
    for replica in replicas:
        await replica.close()
    assert sum(made) == 5
    assert len(await rows(connection, DAYS)) == 5


async def test_retention_drops_whole_days_and_only_those_past_it(connection: Connection) -> None:
    kept = TODAY - timedelta(days=10)
    await make_partitions(connection, METER, [number(kept) + step for step in (-2, -1, 0, 1)])
    dropped = await drop_expired(connection, first_kept=kept)
    assert dropped == [
        f"meter_history_{kept - timedelta(days=2):%Y%m%d}",
        f"meter_history_{kept - timedelta(days=1):%Y%m%d}",
    ]
    assert meter_days(await rows(connection, DAYS)) == [kept, kept + timedelta(days=1)]


async def test_a_reader_of_the_whole_history_does_not_stop_ingestion_while_a_day_goes(
    database_url: str, database_settings: DatabaseSettings, connection: Connection
) -> None:
    old, today = number(TODAY) - 20, number(TODAY)
    await make_partitions(connection, METER, [old, today])
    replica = await connect(database_settings)
    async with await AsyncConnection.connect(database_url) as reader:
        await reader.execute("SELECT count(*) FROM meter_history")  # its transaction stays open
        dropping = asyncio.create_task(drop_expired(replica, first_kept=TODAY - timedelta(days=10)))
        await _until_a_session_waits(connection)
        await connection.execute("SET statement_timeout = '1s'")
        await connection.execute(
            "INSERT INTO meter_history VALUES ('mtr-1', now(), 1, 230) ON CONFLICT DO NOTHING"
        )
        assert not dropping.done()
    assert len(await dropping) == 1
    await replica.close()


async def test_an_interrupted_removal_is_finished(
    database_url: str, database_settings: DatabaseSettings, connection: Connection
) -> None:
    old = number(TODAY) - 20
    await make_partitions(connection, METER, [old])
    async with await AsyncConnection.connect(database_url) as reader:
        await reader.execute("SELECT count(*) FROM meter_history")
        async with await AsyncConnection.connect(database_url, autocommit=True) as dying:
            dropping = asyncio.create_task(
                drop_expired(dying, first_kept=TODAY - timedelta(days=10))
            )
            await _until_a_session_waits(connection)
            pid = dying.info.backend_pid
            await connection.execute("SELECT pg_terminate_backend(%s)", [pid])
            with pytest.raises(psycopg.OperationalError):
                await dropping
    [left] = await list_partitions(connection)
    assert left.state == "detaching"
    await drop_expired(connection, first_kept=TODAY - timedelta(days=10))
    assert await list_partitions(connection) == []


async def test_a_detached_day_that_is_needed_is_attached_again(connection: Connection) -> None:
    await make_partitions(connection, METER, [number(TODAY)])
    name = f"meter_history_{TODAY:%Y%m%d}"
    await connection.execute(f"ALTER TABLE meter_history DETACH PARTITION {name}")
    assert await make_partitions(connection, METER, [number(TODAY)]) == 1
    assert meter_days(await rows(connection, DAYS)) == [TODAY]


async def _until_a_session_waits(connection: Connection) -> None:
    query = (
        "SELECT 1 FROM pg_stat_activity WHERE datname = current_database()"
        " AND wait_event_type = 'Lock'"
    )
    while not await rows(connection, query):
        await asyncio.sleep(0.01)
