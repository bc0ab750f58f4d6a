"""What PostgreSQL refuses, told apart from a PostgreSQL that is away."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import aclosing, asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict
from pydantic import SecretStr
from structlog.testing import capture_logs
from structlog.typing import EventDict

from consumer.flush.flush import Flush
from consumer.flush.sink import Sink
from consumer.metrics import Metrics
from consumer.postgres.connection import Connection
from consumer.postgres.database import Database, Purpose
from consumer.postgres.refusals import CHECK
from consumer.settings import DatabaseSettings, HistorySettings
from consumer.upkeep.retention import keep_maintained
from consumer.upkeep.rollups import keep_rolled_up
from telemetry.streams import VEHICLE
from tests.integration.conftest import FLUSH, flush_of, meter_value, rows, vehicle_value

TODAY = datetime.now(UTC).date()
DAYS = "SELECT count(*) FROM pg_inherits WHERE inhparent = '{}'::regclass"
ROLLED_UP = "SELECT DISTINCT vehicle_id FROM vehicle_day ORDER BY 1"


@pytest.fixture
def logs() -> Iterator[list[EventDict]]:
    with capture_logs() as logs:
        yield logs


@pytest.fixture
def upkeep(database_settings: DatabaseSettings, metrics: Metrics, database: Database) -> Database:
    return Database(
        settings=database_settings,
        metrics=metrics,
        purpose=Purpose.UPKEEP,
        refusals=database.refusals,
    )


@asynccontextmanager
async def running(task: asyncio.Task[Any]) -> AsyncIterator[None]:
    """Let a worker run for as long as the block does."""
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


async def eventually(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.01)


def events(logs: list[EventDict]) -> list[str]:
    return [line["event"] for line in logs]


def of(logs: list[EventDict], event: str) -> list[EventDict]:
    return [line for line in logs if line["event"] == event]


async def ask(database: Database) -> None:
    async with database.connection() as connection:
        await connection.execute("SELECT 1")


async def raise_in_upserts(connection: Connection, sqlstate: str) -> None:
    await raise_at(connection, "AFTER INSERT ON meter_current_state", sqlstate)


async def raise_at(connection: Connection, what: str, sqlstate: str) -> None:
    """Let what statements do to a table fail."""
    await connection.execute(
        "CREATE FUNCTION trouble() RETURNS trigger LANGUAGE plpgsql AS"
        f" 'BEGIN RAISE EXCEPTION ''on purpose'' USING ERRCODE = ''{sqlstate}''; END'"
    )
    await connection.execute(
        f"CREATE TRIGGER trouble {what} FOR EACH STATEMENT EXECUTE FUNCTION trouble()"
    )


def old_flush(vehicle: str, *, believed: int = 0) -> Flush:
    """Return the flush of a reading that is old enough to be rolled up."""
    value = vehicle_value(vehicle, ago=timedelta(hours=5))
    return flush_of([value], believed=believed, stream=VEHICLE)


async def test_a_server_that_answers_is_not_available_until_the_work_is_done(
    database: Database, sink: Sink, connection: Connection, metrics: Metrics, logs: list[EventDict]
) -> None:
    await database.patiently(lambda: ask(database), work=CHECK)
    await raise_in_upserts(connection, "53100")
    tries: list[str] = []
    shown = set()
    storing = asyncio.create_task(
        database.patiently(
            lambda: sink.flush(flush_of([meter_value()])), work=FLUSH, on_retry=tries.append
        )
    )
    async with running(storing):
        await eventually(lambda: "resources" in tries)
        while len(tries) < 4:
            await database.patiently(lambda: ask(database), work=CHECK)
            shown.add(metrics.registry.get_sample_value("telemetry_database_available"))
        assert shown == {0}
        assert events(logs) == ["database_available", "database_unavailable"]
        await connection.execute("DROP TRIGGER trouble ON meter_current_state")
        await storing
    assert events(logs)[2:] == ["database_available"]
    assert metrics.registry.get_sample_value("telemetry_database_available") == 1


@pytest.mark.parametrize("sqlstate", ["42501", "0A000", "XX000", "P0001", "WAT01"])
async def test_a_refused_statement_is_reported_waits_alone_and_is_not_an_outage(
    database: Database, sink: Sink, connection: Connection, logs: list[EventDict], sqlstate: str
) -> None:
    await raise_in_upserts(connection, sqlstate)
    tries: list[str] = []
    flush = flush_of([meter_value()])
    storing = asyncio.create_task(
        database.patiently(lambda: sink.flush(flush), work=FLUSH, on_retry=tries.append)
    )
    async with running(storing):
        await eventually(lambda: len(tries) >= 4)
        # Nothing else waits.
        await database.patiently(lambda: ask(database), work=CHECK)
        assert database.failures == 0
        (line,) = of(logs, "database_refuses")
        assert (line["work"], line["sqlstate"], line["error"]) == ("flush", sqlstate, "on purpose")
        await connection.execute("DROP TRIGGER trouble ON meter_current_state")
        assert (await storing).stored == 1
    assert events(logs) == ["database_refuses", "database_available", "database_accepts"]


async def test_a_prepared_statement_that_is_not_there_is_tried_again_without_a_word(
    database: Database, sink: Sink, connection: Connection, logs: list[EventDict]
) -> None:
    tries: list[str] = []
    for believed in range(12):
        if believed == 10:
            kept = await sink._connection.get()
            # Within a function, where the driver does not see it: as a pooler would.
            await kept.execute("DO $$ BEGIN EXECUTE 'DEALLOCATE ALL'; END $$")
        flush = flush_of([meter_value(f"mtr-{believed}")], believed=believed)
        outcome = await database.patiently(
            partial(sink.flush, flush), work=FLUSH, on_retry=tries.append
        )
        assert outcome.stored == 1
    assert tries == ["other"]
    assert events(logs) == ["database_available"]


async def test_a_wrong_password_is_told_as_what_it_is(
    database_url: str, connection: Connection, metrics: Metrics, logs: list[EventDict]
) -> None:
    role = f"role_{uuid.uuid4().hex[:8]}"
    name = sql.Identifier(role)
    await connection.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD 'old'").format(name))
    server = conninfo_to_dict(database_url)
    url = f"postgresql://{role}:new@{server['host']}:{server['port']}/{server['dbname']}"
    database = Database(settings=DatabaseSettings(database_url=SecretStr(url)), metrics=metrics)
    asking = asyncio.create_task(database.patiently(lambda: ask(database), work=CHECK))
    async with running(asking):
        await eventually(lambda: "database_refuses" in events(logs))
        assert events(logs) == ["database_refuses"]
        assert (logs[0]["work"], logs[0]["sqlstate"]) == ("connect", "28P01")
        assert logs[0]["role"] == role
        assert "new" not in str(logs[0])
        await connection.execute(sql.SQL("ALTER ROLE {} PASSWORD 'new'").format(name))
        await asking
    assert "database_accepts" in events(logs)
    await connection.execute(sql.SQL("DROP ROLE {}").format(name))


async def test_days_that_cannot_be_made_of_one_history_keep_no_other_upkeep_waiting(
    upkeep: Database, connection: Connection, metrics: Metrics, logs: list[EventDict]
) -> None:
    old = TODAY - timedelta(days=30)
    await connection.execute(
        f"CREATE TABLE meter_history_{old:%Y%m%d} PARTITION OF meter_history"
        f" FOR VALUES FROM ('{old} 00:00+00') TO ('{old + timedelta(days=1)} 00:00+00')"
    )
    await connection.execute(f"CREATE VIEW meter_history_{TODAY:%Y%m%d} AS SELECT 1")
    settings = HistorySettings(history_retention_days=10, partitions_ahead_days=1)
    async with running(asyncio.create_task(keep_maintained(upkeep, settings, metrics))):
        await eventually(lambda: "database_refuses" in events(logs))
        await eventually(lambda: len(of(logs, "history_partitions_maintained")) == 2)
        assert await rows(connection, DAYS.format("vehicle_history")) == [(3,)]
        assert await rows(connection, DAYS.format("meter_history")) == [(0,)]
        (line,) = of(logs, "database_refuses")
        assert (line["work"], line["topic"]) == ("days", "telemetry.meter")
        assert line["sqlstate"] == "42P07"
        await connection.execute(f"DROP VIEW meter_history_{TODAY:%Y%m%d}")
        await eventually(lambda: "database_accepts" in events(logs))
        assert await rows(connection, DAYS.format("meter_history")) == [(3,)]
    assert not upkeep.refusals.keep_from_storing
    assert "database_unavailable" not in events(logs)


async def test_a_day_that_cannot_be_dropped_of_one_history_keeps_no_other_from_being_dropped(
    upkeep: Database, connection: Connection, metrics: Metrics, logs: list[EventDict]
) -> None:
    old = TODAY - timedelta(days=30)
    for history in ("meter_history", "vehicle_history"):
        await connection.execute(
            f"CREATE TABLE {history}_{old:%Y%m%d} PARTITION OF {history}"
            f" FOR VALUES FROM ('{old} 00:00+00') TO ('{old + timedelta(days=1)} 00:00+00')"
        )
    await connection.execute(
        "CREATE FUNCTION forbid() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN"
        " IF current_query() LIKE '%meter_history%DETACH%' THEN RAISE EXCEPTION 'frozen';"
        " END IF; END $$"
    )
    await connection.execute(
        "CREATE EVENT TRIGGER forbid ON ddl_command_start EXECUTE FUNCTION forbid()"
    )
    settings = HistorySettings(history_retention_days=10, partitions_ahead_days=1)
    async with running(asyncio.create_task(keep_maintained(upkeep, settings, metrics))):
        await eventually(lambda: "database_refuses" in events(logs))
        gone = f"SELECT to_regclass('vehicle_history_{old:%Y%m%d}') IS NULL"
        assert await rows(connection, gone) == [(True,)]
        (line,) = of(logs, "database_refuses")
        assert (line["work"], line["sqlstate"], line["error"]) == ("retention", "P0001", "frozen")


async def test_a_rollup_that_is_refused_keeps_no_flush_waiting_and_goes_on_by_itself(
    upkeep: Database,
    database: Database,
    sink: Sink,
    connection: Connection,
    logs: list[EventDict],
) -> None:
    await database.patiently(lambda: sink.flush(old_flush("veh-1")), work=FLUSH)
    await connection.execute("ALTER FUNCTION vehicles_noted RENAME TO other_vehicles_noted")
    rolling = keep_rolled_up(upkeep, HistorySettings(), is_behind=lambda: False)
    async with running(asyncio.create_task(rolling)):
        await eventually(lambda: "database_refuses" in events(logs))
        (line,) = of(logs, "database_refuses")
        assert (line["work"], line["sqlstate"]) == ("rollup", "42883")
        flush = old_flush("veh-2", believed=1)
        assert (await database.patiently(lambda: sink.flush(flush), work=FLUSH)).stored == 1
        assert database.is_available
        await connection.execute("ALTER FUNCTION other_vehicles_noted RENAME TO vehicles_noted")
        await eventually(lambda: "database_accepts" in events(logs))
        while await rows(connection, "SELECT FROM rollup_due UNION ALL SELECT FROM vehicle_due"):
            await asyncio.sleep(0.05)
    assert await rows(connection, ROLLED_UP) == [("veh-1",), ("veh-2",)]


async def test_notes_are_rolled_up_while_the_completion_of_days_is_refused(
    upkeep: Database, sink: Sink, connection: Connection, logs: list[EventDict]
) -> None:
    await raise_at(connection, "BEFORE INSERT ON vehicle_day_done", "42501")
    rolling = keep_rolled_up(upkeep, HistorySettings(), is_behind=lambda: False)
    async with running(asyncio.create_task(rolling)):
        await eventually(lambda: "database_refuses" in events(logs))
        assert of(logs, "database_refuses")[0]["work"] == "completion"
        await sink.flush(old_flush("veh-1"))
        while await rows(connection, "SELECT FROM rollup_due UNION ALL SELECT FROM vehicle_due"):
            await asyncio.sleep(0.05)
    assert await rows(connection, ROLLED_UP) == [("veh-1",)]
    assert await rows(connection, "SELECT day FROM vehicle_day_done") == []


async def test_upkeep_that_cannot_work_opens_no_breaker_but_its_own(
    upkeep: Database,
    database: Database,
    sink: Sink,
    connection: Connection,
    logs: list[EventDict],
) -> None:
    """A rollup that runs out of memory or time, say: an error of the load, not a refusal."""
    await sink.flush(flush_of([meter_value()]))
    await raise_at(connection, "BEFORE DELETE ON rollup_due", "53200")
    rolling = keep_rolled_up(upkeep, HistorySettings(), is_behind=lambda: False)
    async with running(asyncio.create_task(rolling)):
        await eventually(lambda: upkeep.failures >= 3)
        flush = flush_of([meter_value("mtr-2")], believed=1)
        assert (await database.patiently(lambda: sink.flush(flush), work=FLUSH)).stored == 1
    assert database.failures == 0
    assert events(logs) == ["upkeep_unavailable", "database_available"]
    assert not upkeep.is_available


async def test_an_error_of_the_data_that_no_message_caused_is_told_and_waits(
    database: Database, metrics: Metrics, connection: Connection, logs: list[EventDict]
) -> None:
    """Here of the offset's own row: bisecting the batch would find no row at fault."""
    await connection.execute("ALTER TABLE ingest_offset ADD CHECK (next_offset < 1) NOT VALID")
    async with aclosing(Sink(database=database, metrics=metrics, timeout=30)) as sink:
        flush = flush_of([meter_value()])
        storing = asyncio.create_task(database.patiently(lambda: sink.flush(flush), work=FLUSH))
        async with running(storing):
            await eventually(lambda: "database_refuses" in events(logs))
            assert of(logs, "database_refuses")[0]["sqlstate"] == "23514"
            await connection.execute(
                "ALTER TABLE ingest_offset DROP CONSTRAINT ingest_offset_next_offset_check1"
            )
            assert (await storing).stored == 1
    assert await rows(connection, "SELECT count(*) FROM dead_letter") == [(0,)]
