"""Notes of what a flush has touched, and the worker that rolls it up."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

from consumer.flush.sink import Sink
from consumer.postgres.connection import Connection
from consumer.postgres.database import Database
from consumer.settings import HistorySettings
from consumer.upkeep.retention import maintain
from consumer.upkeep.rollups import keep_rolled_up
from telemetry.streams import VEHICLE
from tests.integration.conftest import NOW, flush_of, meter_value, rows, vehicle_value

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
# While readings come, hours that are not older wait.
LONG_AGO = NOW.replace(minute=0, second=0) - 5 * HOUR
KEPT = "SELECT vehicle_id, ac, dc FROM vehicle_day ORDER BY vehicle_id, day"


@asynccontextmanager
async def rolling(database: Database) -> AsyncIterator[asyncio.Task[None]]:
    """Let the worker run for as long as the block does."""
    worker = asyncio.create_task(
        keep_rolled_up(database, HistorySettings(), is_behind=lambda: False)
    )
    try:
        yield worker
    finally:
        worker.cancel()
        await asyncio.wait([worker])


async def until_gone(connection: Connection, worker: asyncio.Task[None], *tables: str) -> None:
    """Wait until these tables are empty; the worker goes on."""
    for table in tables:
        while await rows(connection, f"SELECT FROM {table}"):
            assert not worker.done()
            await asyncio.sleep(0.05)


async def assign(connection: Connection, *pairs: tuple[str, str]) -> None:
    for vehicle, meter in pairs:
        await connection.execute(
            "INSERT INTO vehicle_meter_assignment (vehicle_id, meter_id, started_at)"
            " VALUES (%s, %s, %s)",
            [vehicle, meter, LONG_AGO],
        )


def added(found: list[tuple[object, ...]]) -> dict[object, list[int]]:
    """Return the AC and the DC of each vehicle, of all its days."""
    sums: dict[object, list[int]] = {}
    for vehicle, ac, dc in found:
        total = sums.setdefault(vehicle, [0, 0])
        total[0] += sum(ac)  # type: ignore[call-overload]  # an array
        total[1] += sum(dc)  # type: ignore[call-overload]  # an array
    return sums


async def test_a_flush_notes_each_device_and_hour_once(sink: Sink, connection: Connection) -> None:
    await sink.flush(
        flush_of(
            [
                meter_value("mtr-1", ago=3 * HOUR),
                meter_value("mtr-1", ago=3 * HOUR + timedelta(seconds=1)),
                meter_value("mtr-2", ago=3 * HOUR),
                meter_value("mtr-1", ago=HOUR),
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
    assert {("mtr-1", number(3 * HOUR)), ("mtr-2", number(3 * HOUR)), ("mtr-1", number(HOUR))} <= (
        touched
    )
    assert len(touched) == len(list(devices))  # type: ignore[call-overload]  # an array


async def test_a_flush_without_readings_notes_nothing(sink: Sink, connection: Connection) -> None:
    await sink.flush(flush_of([b"nonsense"]))
    assert await rows(connection, "SELECT count(*) FROM rollup_due") == [(0,)]


async def test_what_is_noted_is_rolled_up(
    database: Database, sink: Sink, connection: Connection
) -> None:
    """Readings of an hour, a minute apart, of two pairs, one of them with a late reading."""
    await assign(connection, ("veh-1", "mtr-1"), ("veh-2", "mtr-2"))
    ages = [NOW - LONG_AGO - number * MINUTE for number in range(1, 61)]
    drawn = [meter_value(f"mtr-{n}", kwh=0.12, ago=ago) for ago in ages for n in (1, 2)]
    delivered = [vehicle_value(f"veh-{n}", kwh=0.108, ago=ago) for ago in ages for n in (1, 2)]
    late = drawn.pop()
    await sink.flush(flush_of(drawn))
    await sink.flush(flush_of(delivered, stream=VEHICLE))
    async with rolling(database) as worker:
        await until_gone(connection, worker, "rollup_due", "vehicle_due")
        found = await rows(connection, KEPT)
        assert added(found) == {
            "veh-1": [7_200_000_000, 6_480_000_000],
            "veh-2": [7_080_000_000, 6_480_000_000],
        }
        # All of it lies in the hour that it was read in.
        hour = LONG_AGO.hour
        assert {(ac[hour], dc[hour]) for _, ac, dc in found if sum(dc)} == {  # type: ignore[index, call-overload]  # arrays
            (7_200_000_000, 6_480_000_000),
            (7_080_000_000, 6_480_000_000),
        }
        await sink.flush(flush_of([late], believed=len(drawn)))
        await until_gone(connection, worker, "rollup_due", "vehicle_due")
    assert added(await rows(connection, KEPT)) == {
        "veh-1": [7_200_000_000, 6_480_000_000],
        "veh-2": [7_200_000_000, 6_480_000_000],
    }


async def test_the_newest_hours_wait_until_they_are_over(
    database: Database, sink: Sink, connection: Connection
) -> None:
    """Else each flush would have them written anew."""
    await sink.flush(flush_of([vehicle_value("veh-1"), vehicle_value("veh-2")], stream=VEHICLE))
    async with rolling(database) as worker:
        await until_gone(connection, worker, "rollup_due")
        done, _ = await asyncio.wait([worker], timeout=1)
        assert not done
    due = await rows(connection, "SELECT vehicle_id FROM vehicle_due ORDER BY 1")
    assert due == [("veh-1",), ("veh-2",)]
    assert await rows(connection, KEPT) == []


async def test_a_fault_in_rolling_up_stops_nothing(
    database: Database, sink: Sink, connection: Connection
) -> None:
    await sink.flush(flush_of([meter_value()]))
    await connection.execute("ALTER FUNCTION vehicles_noted RENAME TO other_vehicles_noted")
    async with rolling(database) as worker:
        done, _ = await asyncio.wait([worker], timeout=1)
        assert not done
        assert await rows(connection, "SELECT count(*) FROM rollup_due") == [(1,)]


async def test_rollups_go_with_their_history(connection: Connection) -> None:
    settings = HistorySettings(history_retention_days=3, partitions_ahead_days=1)
    await connection.execute(
        "INSERT INTO vehicle_day"
        " SELECT 'veh-1', %s::date - back, hours, hours, hours, hours, hours::smallint[],"
        "        '{}', '{}', '{}', '{}', NULL"
        " FROM generate_series(0, 9) AS back, array_fill(0::bigint, ARRAY[24]) AS hours",
        [NOW.date()],
    )
    await connection.execute(
        "INSERT INTO vehicle_day_done SELECT %s::date - back FROM generate_series(0, 9) AS back",
        [NOW.date()],
    )
    await maintain(connection, settings, now_us=int(NOW.timestamp() * 1e6))
    kept = [(NOW.date() - timedelta(days=back),) for back in range(3, -1, -1)]
    for table in ("vehicle_day", "vehicle_day_done"):
        assert await rows(connection, f"SELECT day FROM {table} ORDER BY day") == kept


async def test_days_that_are_over_are_completed_once_nothing_is_noted(
    database: Database, sink: Sink, connection: Connection
) -> None:
    ago = NOW - NOW.replace(hour=12, minute=0, second=0) + 2 * DAY
    values = [vehicle_value(f"veh-{n}", kwh=0.25, ago=ago) for n in range(3)]
    await sink.flush(flush_of(values, stream=VEHICLE))
    await connection.execute("TRUNCATE rollup_due")  # as if it was stored before there were notes
    day = (NOW - ago).date()
    is_done = f"SELECT FROM vehicle_day_done WHERE day = '{day}' AND done_to IS NULL"
    async with rolling(database) as worker:
        while not await rows(connection, is_done):
            assert not worker.done()
            await asyncio.sleep(0.05)
    assert added(await rows(connection, KEPT)) == {f"veh-{n}": [0, 250_000_000] for n in range(3)}
