"""Unregistered devices: counted, and removed once they are silent; what comes is kept."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import psycopg
import pytest
from psycopg import AsyncConnection
from psycopg.rows import DictRow, dict_row
from typer.testing import CliRunner

from consumer.commands.devices import app as command
from consumer.flush.sink import Sink
from consumer.metrics import Metrics
from consumer.postgres.connection import Connection
from consumer.postgres.database import Database
from consumer.upkeep import devices
from consumer.upkeep.devices import Removed, Silent, keep_counted, remove_silent
from energy.stored.rolling_up import complete_days, roll_up
from runtime.postgres.arrays import load_arrays
from telemetry.streams import METER, VEHICLE, Stream
from tests.integration.conftest import NOW, flush_of, meter_value, rows, vehicle_value
from tests.integration.days import until_a_session_waits

Rows = AsyncConnection[DictRow]
DAY = timedelta(days=1)
SILENT = Silent(stream=METER, heard_before=NOW - 30 * DAY)
DEVICES_LEFT = "SELECT meter_id FROM meter_current_state ORDER BY 1"
HISTORY_LEFT = "SELECT DISTINCT meter_id FROM meter_history ORDER BY 1"
OF_VEHICLES = [
    f"SELECT DISTINCT vehicle_id FROM {table} ORDER BY 1"
    for table in ("vehicle_current_state", "vehicle_history", "vehicle_day", "vehicle_due")
]


@pytest.fixture
async def upkeep(database_url: str) -> AsyncIterator[Rows]:
    """The session that rolls up."""
    async with await AsyncConnection.connect(
        database_url, row_factory=dict_row, autocommit=True
    ) as connection:
        load_arrays(connection)
        yield connection


async def heard(sink: Sink, connection: Connection, *names: str, stream: Stream = METER) -> None:
    """Let devices have sent readings of two days, of which the last is 40 days old."""
    value = meter_value if stream is METER else vehicle_value
    values = [value(name, ago=ago * DAY) for name in names for ago in (40, 41)]
    ((start,),) = await rows(
        connection, f"SELECT max(next_offset) FROM ingest_offset WHERE topic = '{stream.topic}'"
    )
    assert isinstance(start, int)
    await sink.flush(flush_of(values, believed=start, stream=stream))
    long_ago = NOW - 40 * DAY
    await connection.execute(f"UPDATE {stream.history} SET ingested_at = %s", [long_ago])
    await connection.execute(f"UPDATE {stream.current_state} SET updated_at = %s", [long_ago])


async def remove(operator: Connection, silent: Silent = SILENT) -> Removed:
    """Remove what is silent, and return what it came to."""
    batches = [Removed()]
    await remove_silent(operator, silent, stopping=asyncio.Event(), on_batch=batches.append)
    return Removed(*map(sum, zip(*batches, strict=True)))


async def test_devices_are_counted_by_stream_and_registration(
    database: Database, metrics: Metrics, sink: Sink, connection: Connection
) -> None:
    await sink.flush(flush_of([meter_value(f"mtr-{n}") for n in range(3)]))
    await connection.execute("INSERT INTO meter (meter_id) VALUES ('mtr-1'), ('never-heard')")
    counting = asyncio.create_task(keep_counted(database, metrics))
    try:
        wanted = {("meter", "yes"): 2, ("meter", "no"): 2, ("vehicle", "yes"): 0}
        found = None
        while found != wanted:
            assert not counting.done()
            await asyncio.sleep(0.01)
            found = {pair: metrics.devices.labels(*pair)._value.get() for pair in wanted}
    finally:
        counting.cancel()


async def test_a_silent_unregistered_device_is_removed_with_all_its_data(
    sink: Sink, connection: Connection, operator: Connection
) -> None:
    await heard(sink, connection, "x-1", "x-2")
    assert await remove(operator) == Removed(devices=2, readings=4)
    for left in (DEVICES_LEFT, HISTORY_LEFT):
        assert await rows(connection, left) == []
    # One that comes back begins anew, and its days too.
    await heard(sink, connection, "x-1")
    for left in (DEVICES_LEFT, HISTORY_LEFT):
        assert await rows(connection, left) == [("x-1",)]


async def test_a_vehicle_is_removed_with_its_rollups(
    sink: Sink, connection: Connection, operator: Connection, upkeep: Rows
) -> None:
    await heard(sink, connection, "x-1", "x-2", "y", stream=VEHICLE)
    assert await roll_up(upkeep, NOW) is True
    # A meter of the same id is another device.
    await heard(sink, connection, "y")
    await connection.execute(
        "INSERT INTO vehicle_due SELECT vehicle_id, now(), now() FROM vehicle_current_state"
    )
    for left in OF_VEHICLES:
        assert await rows(connection, left) == [("x-1",), ("x-2",), ("y",)]
    assert await remove(operator) == Removed(devices=1, readings=2)
    silent = Silent(stream=VEHICLE, heard_before=SILENT.heard_before, prefix="x-")
    assert await remove(operator, silent) == Removed(devices=2, readings=4)
    for left in OF_VEHICLES:
        assert await rows(connection, left) == [("y",)]
    await heard(sink, connection, "x-1", stream=VEHICLE)
    assert await roll_up(upkeep, NOW) is True
    assert await rows(connection, OF_VEHICLES[2]) == [("x-1",), ("y",)]


async def test_what_is_registered_or_charged_or_was_heard_of_stays(
    sink: Sink, connection: Connection, operator: Connection
) -> None:
    await heard(sink, connection, "registered", "assigned", "charged", "recent", "late", "gone")
    await connection.execute("INSERT INTO meter (meter_id) VALUES ('registered')")
    await connection.execute(
        "INSERT INTO vehicle_meter_assignment (vehicle_id, meter_id, started_at, ended_at)"
        " VALUES ('v', 'assigned', '2020-01-01Z', '2020-01-02Z')"
    )
    await connection.execute(
        "INSERT INTO charging_session (vehicle_id, meter_id, started_at)"
        " VALUES ('v', 'charged', '2020-01-01Z')"
    )
    late = [meter_value("late", ago=50 * DAY), meter_value("recent", ago=DAY)]
    await sink.flush(flush_of(late, believed=12))
    assert await remove(operator) == Removed(devices=1, readings=2, heard=1)
    kept = [("assigned",), ("charged",), ("late",), ("recent",), ("registered",)]
    for left in (DEVICES_LEFT, HISTORY_LEFT):
        assert await rows(connection, left) == kept
    vehicles = Silent(stream=VEHICLE, heard_before=SILENT.heard_before)
    assert await remove(operator, vehicles) == Removed()


async def test_a_removal_is_many_small_transactions(
    sink: Sink, connection: Connection, operator: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    await heard(sink, connection, *(f"x-{n}" for n in range(7)), "y")
    monkeypatch.setattr(devices, "MOST_DEVICES", 3)
    monkeypatch.setattr(devices, "MOST_READINGS", 4)
    batches: list[Removed] = []
    silent = Silent(stream=METER, heard_before=SILENT.heard_before, prefix="x-")
    await remove_silent(operator, silent, stopping=asyncio.Event(), on_batch=batches.append)
    assert [(one.devices, one.readings) for one in batches] == [(2, 4), (2, 4), (2, 4), (1, 2)]
    assert await rows(connection, DEVICES_LEFT) == [("y",)]


@pytest.mark.parametrize("ago", [timedelta(minutes=1), 45 * DAY], ids=["new", "late"])
async def test_a_reading_that_comes_while_its_device_is_removed_is_kept(
    sink: Sink, connection: Connection, operator: Connection, ago: timedelta
) -> None:
    await heard(sink, connection, "x")
    async with operator.transaction():
        assert await remove(operator) == Removed(devices=1, readings=2)
        value = meter_value("x", ago=ago, kwh=0.75)
        flushing = asyncio.create_task(sink.flush(flush_of([value], believed=2)))
        await until_a_session_waits(connection)
        assert not flushing.done()
    assert (await flushing).stored == 1
    for table in ("meter_history", "meter_current_state"):
        found = await rows(connection, f"SELECT meter_id, kwh_consumed_ac FROM {table}")
        assert found == [("x", 0.75)]


async def test_a_device_of_which_a_flush_is_under_way_is_passed_over(
    sink: Sink, connection: Connection, operator: Connection
) -> None:
    await heard(sink, connection, "x", "y")
    async with connection.transaction():
        await connection.execute("SELECT FROM meter_current_state WHERE meter_id = 'x' FOR UPDATE")
        assert await remove(operator) == Removed(devices=1, readings=2)
    assert await rows(connection, DEVICES_LEFT) == [("x",)]


async def test_no_replica_rolls_up_while_a_devices_readings_are_removed(
    sink: Sink, connection: Connection, operator: Connection, upkeep: Rows
) -> None:
    await heard(sink, connection, "x", stream=VEHICLE)
    vehicles = Silent(stream=VEHICLE, heard_before=SILENT.heard_before)
    async with operator.transaction():
        assert await remove(operator, vehicles) == Removed(devices=1, readings=2)
        assert await roll_up(upkeep, NOW) is None
        assert await complete_days(upkeep, NOW, first=NOW.date()) is None
    assert await roll_up(upkeep, NOW) is True


def test_the_command_counts_asks_and_removes(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", database_url)
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(
            "INSERT INTO meter_current_state"
            " SELECT id, now() - interval '40 days', 1, 230, now() - interval '40 days'"
            " FROM unnest(ARRAY['x-1', 'x-2', 'y-1']) AS id"
        )

        def run(*arguments: str) -> tuple[int, str]:
            result = CliRunner().invoke(command, arguments)
            return result.exit_code, " ".join(result.output.split())

        chosen = ("remove", "--silent-for", "30d", "--stream", "meter", "--prefix", "x-")
        code, said = run(*chosen)
        assert (code, "--yes" in said) == (2, True)
        code, said = run(*chosen, "--dry-run")
        assert (code, "would remove 2 at the most" in said) == (0, True)
        code, said = run("list", "--silent-for", "30d")
        assert (code, "meter x-1" in said, "3 meters, 0 vehicles" in said) == (0, True, True)
        code, said = run(*chosen, "--yes")
        assert (code, "removed 2 devices with 0 readings" in said) == (0, True)
        assert connection.execute(DEVICES_LEFT).fetchall() == [("y-1",)]
        for wrong in ("30", "59m", "999999d", "0d"):
            code, said = run("list", "--silent-for", wrong)
            assert (code, said.startswith("error: --silent-for")) == (2, True)
