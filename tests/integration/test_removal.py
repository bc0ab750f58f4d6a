"""Days past their retention go, also while other sessions are in the way."""

import asyncio
from contextlib import aclosing
from datetime import datetime, time, timedelta

import pytest
from psycopg import AsyncConnection
from psycopg.errors import CheckViolation
from structlog.testing import capture_logs

from consumer.flush.sink import Sink
from consumer.metrics import Metrics
from consumer.postgres import days
from consumer.postgres.connection import Connection
from consumer.postgres.database import Database
from consumer.postgres.days import list_days, make_days
from consumer.settings import DatabaseSettings, HistorySettings
from consumer.upkeep import retention
from consumer.upkeep.retention import Removal, drop_expired, keep_maintained
from runtime.postgres import locks
from telemetry.streams import METER
from tests.integration.conftest import flush_of, meter_value, rows
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


@pytest.fixture
def patient_removal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let removal wait until the test ends it."""
    for module in (days, retention):
        monkeypatch.setattr(module, "REMOVAL_TIMEOUT", "60s")


def overdue(metrics: Metrics) -> float | None:
    return metrics.registry.get_sample_value("telemetry_history_overdue_days")


async def test_retention_drops_whole_days_and_only_those_past_it(connection: Connection) -> None:
    await make_days(connection, METER, [number(KEPT) + step for step in (-2, -1, 0, 1)])
    before = await rows(connection, "SHOW lock_timeout")
    removal = await drop_expired(connection, first_kept=KEPT)
    assert removal == Removal(
        dropped=[name(KEPT - timedelta(days=2)), name(KEPT - timedelta(days=1))]
    )
    assert meter_days(await rows(connection, DAYS)) == [KEPT, KEPT + timedelta(days=1)]
    assert await rows(connection, "SHOW lock_timeout") == before


async def test_what_is_removed_is_said_and_the_following_day_is_done_anew(
    connection: Connection,
) -> None:
    await make_days(connection, METER, [number(KEPT) - 1, number(KEPT)])
    nothing = "array_fill(0, ARRAY[24])"
    for day in (KEPT, TODAY):
        await connection.execute("INSERT INTO vehicle_day_done VALUES (%s)", [day])
        await connection.execute(
            f"INSERT INTO vehicle_day SELECT 'veh-1', %s, {', '.join([nothing] * 5)},"
            " '{}', '{}', '{}', '{}'",
            [day],
        )
    assert await rows(connection, "SELECT * FROM history_removed") == []
    await drop_expired(connection, first_kept=KEPT)
    assert await rows(
        connection, "SELECT stream, until AT TIME ZONE 'UTC' FROM history_removed"
    ) == [("meter", datetime.combine(KEPT, time.min))]
    for table in ("vehicle_day", "vehicle_day_done"):
        assert await rows(connection, f"SELECT day FROM {table}") == [(TODAY,)]


async def test_that_a_day_goes_is_said_before_it_goes(
    database_url: str, connection: Connection
) -> None:
    """No answer takes what is gone for nothing, not even while others are in the way."""
    await make_days(connection, METER, [number(OLD)])
    async with long_reader(database_url):
        [waiting] = (await drop_expired(connection, first_kept=KEPT)).waiting
        assert waiting.day == name(OLD)
        assert await rows(connection, "SELECT count(*) FROM history_removed") == [(1,)]


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
            await until_a_session_waits(connection, step)
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


async def test_removal_gives_way_says_so_and_finishes_at_the_next_look(
    database_url: str, connection: Connection, database: Database, metrics: Metrics
) -> None:
    await make_days(connection, METER, [number(OLD), number(OLD) + 1])
    settings = HistorySettings(history_retention_days=10, partitions_interval_s=1)
    with capture_logs() as logs:

        def events(event: str) -> list[object]:
            return [entry for entry in logs if entry["event"] == event]

        async with long_reader(database_url):
            looking = asyncio.create_task(keep_maintained(database, settings, metrics))
            while len(events("history_partition_removal_waits")) < 2:
                await asyncio.sleep(0.01)
            assert overdue(metrics) == 2
        while overdue(metrics):
            await asyncio.sleep(0.01)
        assert not {name(OLD), name(OLD + timedelta(days=1))} & set(await states(connection))
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
        await killed(connection, database_url, lambda dying: drop_expired(dying, first_kept=KEPT))
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
        await killed(connection, database_url, lambda dying: drop_expired(dying, first_kept=KEPT))
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
