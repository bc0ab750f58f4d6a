"""History's days on a real PostgreSQL, with more than one replica at work."""

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import aclosing, asynccontextmanager
from datetime import UTC, date, datetime, timedelta

import psycopg
import pytest
from psycopg import AsyncConnection
from psycopg.errors import CheckViolation, LockNotAvailable
from structlog.testing import capture_logs

from consumer.flush.sink import Sink
from consumer.metrics import Metrics
from consumer.postgres import days
from consumer.postgres.connection import Connection, connect
from consumer.postgres.database import Database
from consumer.postgres.days import list_days, make_days
from consumer.postgres.sizes import measure_tables
from consumer.settings import DatabaseSettings, HistorySettings
from consumer.upkeep import retention
from consumer.upkeep.retention import Removal, drop_expired, keep_maintained, maintain
from deploy.replica import ROOT
from runtime.postgres import locks
from telemetry.streams import METER
from tests.integration.conftest import FLUSH, flush_of, meter_value, rows

TODAY = datetime.now(UTC).date()
EPOCH = date(1970, 1, 1)
KEPT = TODAY - timedelta(days=10)
OLD = TODAY - timedelta(days=20)


def number(day: date) -> int:
    return (day - EPOCH).days


def name(day: date) -> str:
    return f"meter_history_{day:%Y%m%d}"


def meter_days(found: list[tuple[object, ...]]) -> list[object]:
    return [day for (day,) in found]


DAYS = (
    "SELECT to_date(right(inhrelid::regclass::text, 8), 'YYYYMMDD') FROM pg_inherits"
    " WHERE inhparent = 'meter_history'::regclass AND NOT inhdetachpending ORDER BY 1"
)


async def states(connection: Connection) -> dict[str, str]:
    return {day.name: day.state for day in await list_days(connection)}


@pytest.fixture
def patient_removal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let removal wait until the test ends it."""
    for module in (days, retention):
        monkeypatch.setattr(module, "REMOVAL_TIMEOUT", "60s")


@pytest.fixture
async def replica(database_settings: DatabaseSettings) -> AsyncIterator[Connection]:
    async with await connect(database_settings) as connection:
        yield connection


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


async def test_retention_drops_whole_days_and_only_those_past_it(connection: Connection) -> None:
    await make_days(connection, METER, [number(KEPT) + step for step in (-2, -1, 0, 1)])
    before = await rows(connection, "SHOW lock_timeout")
    removal = await drop_expired(connection, first_kept=KEPT)
    assert removal == Removal(
        dropped=[name(KEPT - timedelta(days=2)), name(KEPT - timedelta(days=1))]
    )
    assert meter_days(await rows(connection, DAYS)) == [KEPT, KEPT + timedelta(days=1)]
    assert await rows(connection, "SHOW lock_timeout") == before


async def test_a_flush_waits_less_than_a_second_while_a_day_goes_and_a_report_runs(
    database_url: str, connection: Connection, replica: Connection, metrics: Metrics
) -> None:
    """Each flush needs a new day, and so the lock that FINALIZE holds while it waits."""
    await make_days(connection, METER, [number(OLD)])
    settings = DatabaseSettings(database_url=database_url, database_lock_timeout_s=1)
    database = Database(settings=settings, metrics=metrics)
    looks: list[Removal] = []

    async def look_for_ever() -> None:
        while True:
            looks.append(await drop_expired(replica, first_kept=KEPT))

    async with (
        aclosing(Sink(database=database, metrics=metrics, timeout=30)) as sink,
        long_reader(database_url),
    ):
        looking = asyncio.create_task(look_for_ever())
        for believed, step in enumerate(["CONCURRENTLY", "FINALIZE", "FINALIZE", "FINALIZE"]):
            await _until_a_session_waits(connection, step)
            value = meter_value(ago=timedelta(days=1 + believed))
            # Without patience: a wait of over a second for a lock would be raised here.
            outcome = await sink.flush(flush_of([value], believed=believed))
            assert outcome.stored == 1
        looking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await looking
    assert looks
    assert not any(look.dropped for look in looks)
    async with await AsyncConnection.connect(database_url, autocommit=True) as other:
        assert (await drop_expired(other, first_kept=KEPT)).dropped == [name(OLD)]
    made_late = "telemetry_history_partitions_made_late_total"
    assert metrics.registry.get_sample_value(made_late, {"topic": METER.topic}) == 4


async def test_making_a_day_does_not_wait_for_a_session_that_locks_another(
    database_url: str, connection: Connection, replica: Connection
) -> None:
    await make_days(connection, METER, [number(OLD)])
    await replica.execute("SET lock_timeout = '1s'")
    async with await AsyncConnection.connect(database_url) as other:
        await other.execute(f"LOCK TABLE {name(OLD)} IN ACCESS EXCLUSIVE MODE")
        assert await make_days(replica, METER, [number(TODAY)]) == 1


async def test_removal_gives_way_says_so_and_finishes_at_the_next_look(
    database_url: str, connection: Connection, database: Database
) -> None:
    await make_days(connection, METER, [number(OLD), number(OLD) + 1])
    settings = HistorySettings(history_retention_days=10, partitions_interval_s=1)
    with capture_logs() as logs:

        def events(event: str) -> list[object]:
            return [entry for entry in logs if entry["event"] == event]

        async with long_reader(database_url):
            looking = asyncio.create_task(keep_maintained(database, settings))
            while len(events("history_partition_removal_waits")) < 2:
                await asyncio.sleep(0.01)
        while name(OLD) in await states(connection):
            await asyncio.sleep(0.01)
        looking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await looking
    [waits, *_] = [entry for entry in logs if entry["event"] == "history_partition_removal_waits"]
    assert waits["partition"] == name(OLD)
    assert waits["waited_s"] >= 0.5
    assert "lock timeout" in waits["reason"]
    assert not events("database_unavailable")


async def test_a_report_on_a_detached_day_delays_only_its_drop(
    database_url: str, connection: Connection, replica: Connection
) -> None:
    await make_days(connection, METER, [number(OLD)])
    await connection.execute(f"ALTER TABLE meter_history DETACH PARTITION {name(OLD)}")
    async with long_reader(database_url, name(OLD)):
        [waiting] = (await drop_expired(connection, first_kept=KEPT)).waiting
        assert waiting.day == name(OLD)
    assert (await drop_expired(replica, first_kept=KEPT)).dropped == [name(OLD)]


@pytest.mark.parametrize(
    "obstacle",
    [
        "CREATE TABLE rest PARTITION OF meter_history DEFAULT",
        f"CREATE VIEW report AS SELECT * FROM {name(OLD)}",
    ],
)
async def test_removal_says_what_of_the_schema_is_in_its_way(
    connection: Connection, obstacle: str
) -> None:
    await make_days(connection, METER, [number(OLD)])
    await connection.execute(obstacle)
    removal = await drop_expired(connection, first_kept=KEPT)
    assert removal.dropped == []
    assert "default partition" in removal.waiting[0].reason or "depend" in removal.waiting[0].reason


async def test_a_removal_that_is_killed_between_its_transactions_is_finished(
    database_url: str, connection: Connection, patient_removal: None
) -> None:
    await make_days(connection, METER, [number(OLD)])
    async with long_reader(database_url):
        await _killed(connection, database_url, lambda dying: drop_expired(dying, first_kept=KEPT))
    assert await states(connection) == {name(OLD): "detaching"}
    assert (await drop_expired(connection, first_kept=KEPT)).dropped == [name(OLD)]
    assert await states(connection) == {}


async def test_a_removal_that_is_killed_before_the_drop_is_finished(
    database_url: str, connection: Connection, patient_removal: None
) -> None:
    await make_days(connection, METER, [number(OLD)])
    async with await AsyncConnection.connect(database_url) as maker:
        await maker.execute("SELECT pg_advisory_lock(%s)", [locks.DAYS_MADE])
        await maker.commit()
        await _killed(connection, database_url, lambda dying: drop_expired(dying, first_kept=KEPT))
    assert await states(connection) == {name(OLD): "detached"}
    assert (await drop_expired(connection, first_kept=KEPT)).dropped == [name(OLD)]


async def test_a_day_that_is_being_detached_goes_before_any_other(
    database_url: str, connection: Connection
) -> None:
    """PostgreSQL detaches one at a time, and this one is not the oldest."""
    days = [OLD, OLD + timedelta(days=1)]
    await make_days(connection, METER, [number(day) for day in days])
    await detach_half(connection, database_url, days[1])
    removal = await drop_expired(connection, first_kept=KEPT)
    assert removal == Removal(dropped=[name(days[1]), name(days[0])])


async def test_a_half_detached_day_that_is_to_be_kept_after_all_is_attached_again(
    database_url: str, connection: Connection
) -> None:
    """The retention was raised between the two looks."""
    await make_days(connection, METER, [number(OLD)])
    await connection.execute(f"INSERT INTO meter_history VALUES ('a', '{OLD} 12:00+00', 1, 230)")
    await detach_half(connection, database_url, OLD)
    async with long_reader(database_url):
        [waiting] = (await drop_expired(connection, first_kept=OLD)).waiting
        assert waiting.day == name(OLD)
    assert await drop_expired(connection, first_kept=OLD) == Removal()
    assert await states(connection) == {name(OLD): "attached"}
    assert await rows(connection, "SELECT meter_id FROM meter_history") == [("a",)]


async def test_making_that_is_killed_before_it_attaches_leaves_nothing(
    database_url: str, connection: Connection
) -> None:
    async with await AsyncConnection.connect(database_url) as other:
        await other.execute("LOCK TABLE meter_history IN SHARE UPDATE EXCLUSIVE MODE")
        await _killed(
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
        await _until_a_session_waits(connection, "FINALIZE")
        await connection.execute("SET lock_timeout = '1s'")
        assert await make_days(connection, METER, [number(TODAY)]) == 1
    assert (await storing).stored == 1
    assert await rows(connection, "SELECT count(*) FROM meter_history") == [(2,)]


async def test_a_reading_whose_day_goes_between_decoding_and_copy_is_stored(
    connection: Connection, sink: Sink
) -> None:
    ago = timedelta(days=20)
    await sink.flush(flush_of([meter_value("a", ago=ago)]))
    flush = flush_of([meter_value("b", ago=ago)], believed=1)
    assert len((await drop_expired(connection, first_kept=KEPT)).dropped) == 1
    with pytest.raises(CheckViolation) as raised:
        await sink.flush(flush)
    assert raised.value.diag.constraint_name is None
    assert (await sink.flush(flush)).stored == 1
    assert await rows(connection, "SELECT meter_id FROM meter_history") == [("b",)]
    assert len((await drop_expired(connection, first_kept=KEPT)).dropped) == 1


async def test_a_day_that_is_attached_again_during_its_removal_is_not_dropped(
    database_url: str, connection: Connection, replica: Connection, patient_removal: None
) -> None:
    await make_days(connection, METER, [number(OLD)])
    async with await AsyncConnection.connect(database_url) as maker:
        await maker.execute("SELECT pg_advisory_xact_lock(%s)", [locks.DAYS_MADE])
        dropping = asyncio.create_task(drop_expired(replica, first_kept=KEPT))
        while await states(connection) != {name(OLD): "detached"}:
            await asyncio.sleep(0.01)
        assert await make_days(maker, METER, [number(OLD)]) == 1
        await maker.commit()
        assert await dropping == Removal()
    assert await states(connection) == {name(OLD): "attached"}


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


async def test_a_table_that_is_not_a_day_or_has_another_shape_is_left_alone(
    connection: Connection,
) -> None:
    await connection.execute("CREATE TABLE meter_history_99999999 ()")
    await connection.execute(
        f"CREATE TABLE {name(OLD)} PARTITION OF meter_history"
        f" FOR VALUES FROM ('{OLD} 00:00+00') TO ('{TODAY} 00:00+00')"
    )
    assert await drop_expired(connection, first_kept=KEPT) == Removal()
    assert [one.utc_day for one in await list_days(connection)] == [None, None]


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


async def _killed(
    connection: Connection,
    database_url: str,
    work: Callable[[Connection], Coroutine[None, None, object]],
) -> None:
    """End the session that does the work as soon as it waits for somebody."""
    async with await AsyncConnection.connect(database_url, autocommit=True) as dying:
        working = asyncio.create_task(work(dying))
        await _until_a_session_waits(connection)
        await connection.execute("SELECT pg_terminate_backend(%s)", [dying.info.backend_pid])
        with pytest.raises(psycopg.OperationalError):
            await working


async def _until_a_session_waits(connection: Connection, step: str = "") -> None:
    query = (
        "SELECT 1 FROM pg_stat_activity WHERE datname = current_database()"
        f" AND wait_event_type = 'Lock' AND query LIKE '%{step}'"
    )
    while not await rows(connection, query):
        await asyncio.sleep(0.01)
