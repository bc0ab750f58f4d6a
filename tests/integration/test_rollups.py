"""Notes of what a flush has touched, and the worker that rolls it up."""

import asyncio
from datetime import timedelta

from consumer.flush.sink import Sink
from consumer.postgres.connection import Connection
from consumer.postgres.database import Database
from consumer.settings import HistorySettings
from consumer.upkeep.retention import maintain
from consumer.upkeep.rollups import keep_rolled_up
from tests.integration.conftest import NOW, flush_of, meter_value, rows


async def test_a_flush_notes_each_device_and_hour_once(sink: Sink, connection: Connection) -> None:
    hour = timedelta(hours=1)
    await sink.flush(
        flush_of(
            [
                meter_value("mtr-1", ago=3 * hour),
                meter_value("mtr-1", ago=3 * hour + timedelta(seconds=1)),
                meter_value("mtr-2", ago=3 * hour),
                meter_value("mtr-1", ago=hour),
            ]
        )
    )

    ((stream, devices, hours),) = await rows(
        connection, "SELECT stream, devices, hours FROM rollup_due"
    )

    def number(ago: timedelta) -> int:
        return int(((NOW - ago).timestamp() - 1e-6) // 3_600)

    assert stream == "meter"
    touched = set(zip(devices, hours, strict=True))  # type: ignore[call-overload]  # two arrays
    assert {("mtr-1", number(3 * hour)), ("mtr-2", number(3 * hour)), ("mtr-1", number(hour))} <= (
        touched
    )
    assert len(touched) == len(list(devices))  # type: ignore[call-overload]  # an array


async def test_a_flush_without_readings_notes_nothing(sink: Sink, connection: Connection) -> None:
    await sink.flush(flush_of([b"nonsense"]))
    assert await rows(connection, "SELECT count(*) FROM rollup_due") == [(0,)]


async def test_what_is_noted_is_rolled_up(
    database: Database, sink: Sink, connection: Connection
) -> None:
    await sink.flush(flush_of([meter_value("mtr-1", kwh=0.25), meter_value("mtr-2", kwh=0.5)]))
    worker = asyncio.create_task(
        keep_rolled_up(database, HistorySettings(), is_behind=lambda: False)
    )
    try:
        while await rows(connection, "SELECT FROM rollup_due"):
            assert not worker.done()
            await asyncio.sleep(0.05)
    finally:
        worker.cancel()
    assert await rows(
        connection, "SELECT device_id, energy[25] FROM energy_rollup ORDER BY device_id"
    ) == [("mtr-1", 250_000_000), ("mtr-2", 500_000_000)]


async def test_a_fault_in_rolling_up_stops_nothing(
    database: Database, sink: Sink, connection: Connection
) -> None:
    await sink.flush(flush_of([meter_value()]))
    await connection.execute("ALTER FUNCTION roll_up_day RENAME TO roll_up_another_day")
    worker = asyncio.create_task(
        keep_rolled_up(database, HistorySettings(), is_behind=lambda: False)
    )
    try:
        done, _ = await asyncio.wait([worker], timeout=1)
        assert not done
        assert await rows(connection, "SELECT count(*) FROM rollup_due") == [(1,)]
    finally:
        worker.cancel()


async def test_rollups_go_with_their_history(connection: Connection) -> None:
    settings = HistorySettings(history_retention_days=3, partitions_ahead_days=1)
    await connection.execute(
        "INSERT INTO energy_rollup"
        " (stream, day, device_id, energy, covered, last_at, first_after, is_register, every)"
        " SELECT 'meter', %s::date - back, 'mtr-1', '{0}', '{0}', '{null}', '{null}', false,"
        "        '1 minute'"
        " FROM generate_series(0, 9) AS back",
        [NOW.date()],
    )
    await connection.execute("INSERT INTO rollup_day SELECT 'meter', %s::date - 4", [NOW.date()])
    await maintain(connection, settings, now_us=int(NOW.timestamp() * 1e6))
    kept = [(NOW.date() - timedelta(days=back),) for back in range(3, -1, -1)]
    assert await rows(connection, "SELECT day FROM energy_rollup ORDER BY day") == kept
    assert await rows(connection, "SELECT day FROM rollup_day") == []


async def test_days_that_are_over_are_completed_once_nothing_is_noted(
    database: Database, sink: Sink, connection: Connection
) -> None:
    ago = timedelta(days=2)
    await sink.flush(flush_of([meter_value(f"mtr-{n}", kwh=0.25, ago=ago) for n in range(3)]))
    await connection.execute("TRUNCATE rollup_due")  # as if it was stored before there were notes
    worker = asyncio.create_task(
        keep_rolled_up(database, HistorySettings(), is_behind=lambda: False)
    )
    try:
        while not await rows(connection, "SELECT FROM rollup_day WHERE done_to IS NULL"):
            assert not worker.done()
            await asyncio.sleep(0.05)
    finally:
        worker.cancel()
    assert await rows(connection, "SELECT energy[25] FROM energy_rollup") == [(250_000_000,)] * 3
