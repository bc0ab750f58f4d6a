"""Days of history are made, attached again and listed, with more than one replica at work."""

import asyncio
import os
import subprocess
import sys
from datetime import UTC, date, datetime, timedelta

import psycopg
import pytest
from psycopg import AsyncConnection
from structlog.testing import capture_logs

from consumer.flush.sink import Sink
from consumer.postgres.connection import Connection, connect
from consumer.postgres.database import Database
from consumer.postgres.days import list_days, make_days
from consumer.postgres.sizes import measure_tables
from consumer.settings import DatabaseSettings, HistorySettings
from consumer.upkeep.retention import Removal, drop_expired, maintain
from deploy.replica import ROOT
from telemetry.streams import METER
from tests.integration.conftest import FLUSH, flush_of, meter_value, rows
from tests.integration.days import (
    DAYS,
    KEPT,
    OLD,
    TODAY,
    detach_half,
    killed,
    long_reader,
    meter_days,
    name,
    number,
    states,
    until_a_session_waits,
)


async def test_the_days_ahead_are_made_and_a_second_look_makes_none(
    connection: Connection,
) -> None:
    settings = HistorySettings(partitions_ahead_days=3)
    now_us = int(datetime.now(UTC).timestamp() * 1_000_000)
    assert await maintain(connection, settings, now_us=now_us) == (2 * 5, Removal())
    days = [TODAY + timedelta(days=ahead) for ahead in range(-1, 4)]
    assert meter_days(await rows(connection, DAYS)) == days
    assert await maintain(connection, settings, now_us=now_us) == (0, Removal())


async def test_two_replicas_at_once_make_each_day_once(
    database_settings: DatabaseSettings, connection: Connection
) -> None:
    replicas = [await connect(database_settings) for _ in range(4)]
    days = [number(TODAY) + ahead for ahead in range(5)]
    made = await asyncio.gather(*(make_days(replica, METER, days) for replica in replicas))
    for replica in replicas:
        await replica.close()
    assert sum(made) == 5
    assert len(await rows(connection, DAYS)) == 5


async def test_making_a_day_does_not_wait_for_a_session_that_locks_another(
    database_url: str, connection: Connection, replica: Connection
) -> None:
    await make_days(connection, METER, [number(OLD)])
    await replica.execute("SET lock_timeout = '1s'")
    async with await AsyncConnection.connect(database_url) as other:
        await other.execute(f"LOCK TABLE {name(OLD)} IN ACCESS EXCLUSIVE MODE")
        assert await make_days(replica, METER, [number(TODAY)]) == 1


async def test_making_that_is_killed_before_it_attaches_leaves_nothing(
    database_url: str, connection: Connection
) -> None:
    async with await AsyncConnection.connect(database_url) as other:
        await other.execute("LOCK TABLE meter_history IN SHARE UPDATE EXCLUSIVE MODE")
        await killed(
            connection, database_url, lambda dying: make_days(dying, METER, [number(TODAY)])
        )
    assert await states(connection) == {}
    assert await make_days(connection, METER, [number(TODAY)]) == 1


async def test_a_detached_day_that_is_needed_is_attached_again(connection: Connection) -> None:
    await make_days(connection, METER, [number(TODAY)])
    await connection.execute(f"ALTER TABLE meter_history DETACH PARTITION {name(TODAY)}")
    assert await make_days(connection, METER, [number(TODAY)]) == 1
    assert meter_days(await rows(connection, DAYS)) == [TODAY]


async def test_a_day_that_is_needed_while_it_is_being_detached_keeps_its_rows(
    database_url: str, connection: Connection, database: Database, sink: Sink
) -> None:
    """As happens if the retention is raised while a removal waits."""
    day = (datetime.now(UTC) - timedelta(days=20)).date()
    assert (await sink.flush(flush_of([meter_value("a", ago=timedelta(days=20))]))).stored == 1
    await detach_half(connection, database_url, day)
    assert await rows(connection, "SELECT count(*) FROM meter_history") == [(0,)]
    flush = flush_of([meter_value("b", ago=timedelta(days=20))], believed=1)
    tries: list[str] = []
    async with long_reader(database_url):
        storing = asyncio.create_task(
            database.patiently(lambda: sink.flush(flush), work=FLUSH, on_retry=tries.append)
        )
        while "lock" not in tries:  # the reader may still read the day
            await asyncio.sleep(0.01)
        # Meanwhile others get the days that they need.
        await until_a_session_waits(connection, "make_day%")
        await connection.execute("SET lock_timeout = '1s'")
        assert await make_days(connection, METER, [number(TODAY)]) == 1
    assert (await storing).stored == 1
    assert await rows(connection, "SELECT count(*) FROM meter_history") == [(2,)]


@pytest.mark.parametrize(
    "bounds",
    [
        [f"FROM ('{KEPT} 00:00+00') TO ('{KEPT + timedelta(days=5)} 00:00+00')"],
        [f"FROM (MINVALUE) TO ('{KEPT} 01:00+01')", f"FROM ('{KEPT} 00:00+00') TO (MAXVALUE)"],
        [  # days of another time zone
            f"FROM ('{KEPT} 00:00+02') TO ('{KEPT + timedelta(days=1)} 00:00+02')",
            f"FROM ('{KEPT + timedelta(days=1)} 00:00+02') TO ('{TODAY} 00:00+02')",
        ],
        ["DEFAULT"],
    ],
)
async def test_days_that_other_tables_hold_are_not_made(
    connection: Connection, bounds: list[str]
) -> None:
    for place, bound in enumerate(bounds):
        values = bound if bound == "DEFAULT" else f"FOR VALUES {bound}"
        await connection.execute(f"CREATE TABLE own_{place} PARTITION OF meter_history {values}")
    with capture_logs() as logs:
        assert await make_days(connection, METER, [number(KEPT)]) == 0
    assert not logs
    assert all(day.utc_day is None for day in await list_days(connection))
    # They are their maker's, however old.
    assert await drop_expired(connection, first_kept=TODAY) == Removal()


async def test_a_day_that_cannot_be_made_whole_is_told(connection: Connection) -> None:
    await connection.execute(
        "CREATE TABLE noon PARTITION OF meter_history"
        f" FOR VALUES FROM ('{TODAY} 00:00+00') TO ('{TODAY} 12:00+00')"
    )
    with capture_logs() as logs:
        assert await make_days(connection, METER, [number(TODAY), number(TODAY) + 1]) == 1
    [entry] = logs
    assert entry["event"] == "history_day_partly_covered"
    assert (entry["history"], entry["day"]) == ("meter_history", str(TODAY))


async def test_rows_are_estimated_only_from_what_analyze_has_found(connection: Connection) -> None:
    days = [TODAY, TODAY + timedelta(days=1)]
    await make_days(connection, METER, [number(day) for day in days])
    await connection.execute(f"ALTER TABLE {name(TODAY)} SET (autovacuum_enabled = false)")
    fill = (
        "INSERT INTO meter_history"
        f" SELECT 'm-' || n, '{TODAY} 12:00+00', 1, 230 FROM generate_series({{}}, {{}}) AS n"
    )
    await connection.execute(fill.format(1, 10_000))

    async def counted(day: date) -> int | None:
        return (await measure_tables(connection, [name(day)]))[name(day)].rows

    assert await counted(days[0]) is None
    assert await counted(days[1]) == 0
    await connection.execute(f"ANALYZE {name(TODAY)}")
    await connection.execute(fill.format(10_001, 20_000))
    assert await counted(days[0]) == pytest.approx(20_000, rel=0.05)


def test_the_list_shows_days_other_tables_and_totals(database_url: str) -> None:
    with psycopg.connect(database_url) as connection:
        connection.execute(
            "CREATE TABLE archive PARTITION OF meter_history"
            f" FOR VALUES FROM (MINVALUE) TO ('{KEPT} 00:00+00')"
        )
        connection.execute(f"CREATE TABLE {name(OLD)} (LIKE meter_history)")
    shown = subprocess.run(
        [sys.executable, "-m", "consumer", "partitions", "list"],
        cwd=ROOT,
        env=os.environ | {"DATABASE_URL": database_url},
        capture_output=True,
        text=True,
        check=True,
    )
    lines = [" ".join(line.split()) for line in shown.stdout.splitlines()]
    assert f"meter_history {OLD} detached 0 0.0 MiB" in lines
    assert f"meter_history archive MINVALUE to {KEPT} 00:00:00+00 attached 0 0.0 MiB" in lines
    assert "meter_history 2 in all 0 0.0 MiB" in lines
    assert "vehicle_history 0 in all 0 0.0 MiB" in lines
