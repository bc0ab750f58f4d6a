"""A pass of rolling up is bounded, and gives way."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, timedelta

import pytest
from psycopg import AsyncConnection
from psycopg.rows import DictRow, dict_row

from energy.stored.rolling_up import fill_a_day, roll_up
from runtime.postgres import locks
from runtime.postgres.arrays import load_arrays
from tests.energy.stored_world import make_days

NOW = datetime(2026, 6, 5, 12, 30, tzinfo=UTC)
HOUR = int(NOW.timestamp()) // 3_600
Connection = AsyncConnection[DictRow]


@pytest.fixture
async def connection(database_url: str) -> AsyncIterator[Connection]:
    make_days(database_url)
    async with await AsyncConnection.connect(
        database_url, row_factory=dict_row, autocommit=True
    ) as connection:
        load_arrays(connection)
        yield connection


async def note(connection: Connection, vehicle: str, hour: int) -> None:
    """Note an hour of a vehicle, and store a reading in it."""
    at = datetime.fromtimestamp(hour * 3_600 + 1_200, UTC)
    await connection.execute(
        "INSERT INTO vehicle_history VALUES (%s, %s, 50, 1.5, 20)", [vehicle, at]
    )
    await connection.execute(
        "INSERT INTO rollup_due (stream, devices, hours) VALUES ('vehicle', %s, %s)",
        [[vehicle], [hour]],
    )


async def kept(connection: Connection) -> list[str]:
    cursor = await connection.execute("SELECT vehicle_id FROM vehicle_day ORDER BY vehicle_id")
    return [row["vehicle_id"] for row in await cursor.fetchall()]


async def test_a_pass_that_runs_out_of_time_writes_the_newest_and_leaves_the_others(
    connection: Connection,
) -> None:
    for vehicle, back in (("veh-old", 60), ("veh-new", 5), ("veh-older", 90)):
        await note(connection, vehicle, HOUR - back)
    assert await roll_up(connection, NOW, seconds=0) is False
    assert await kept(connection) == ["veh-new"]
    assert await roll_up(connection, NOW, seconds=0) is False
    assert set(await kept(connection)) == {"veh-new", "veh-old"}
    while not await roll_up(connection, NOW, seconds=0):
        pass
    assert set(await kept(connection)) == {"veh-new", "veh-old", "veh-older"}


async def test_only_so_many_notes_are_taken_the_newest_first(connection: Connection) -> None:
    for number in range(3):
        await note(connection, f"veh-{number}", HOUR - 5)
    assert await roll_up(connection, NOW, notes=2) is False
    assert await kept(connection) == ["veh-1", "veh-2"]
    assert await roll_up(connection, NOW, notes=2) is True
    assert await kept(connection) == ["veh-0", "veh-1", "veh-2"]


async def test_hours_into_which_readings_still_come_wait(connection: Connection) -> None:
    await note(connection, "veh-1", HOUR)
    assert await roll_up(connection, NOW) is True
    assert await kept(connection) == []
    assert await roll_up(connection, NOW + timedelta(hours=1)) is True
    assert await kept(connection) == ["veh-1"]


async def test_one_session_rolls_up_at_a_time(connection: Connection, database_url: str) -> None:
    await note(connection, "veh-1", HOUR - 5)
    async with await AsyncConnection.connect(database_url) as other:
        await other.execute("SELECT pg_advisory_xact_lock(%s)", [locks.ROLLED_UP])
        assert await roll_up(connection, NOW) is None
        assert await fill_a_day(connection, NOW) is None
    assert await roll_up(connection, NOW) is True


async def test_two_that_meet_in_a_pass_lose_nothing(
    connection: Connection, database_url: str
) -> None:
    for number in range(40):
        await note(connection, f"veh-{number:02}", HOUR - 5 - number)

    async def work() -> None:
        async with await AsyncConnection.connect(
            database_url, row_factory=dict_row, autocommit=True
        ) as own:
            load_arrays(own)
            while await roll_up(own, NOW, notes=3, seconds=0) is not True:
                pass

    await asyncio.gather(work(), work())
    assert sorted(set(await kept(connection))) == [f"veh-{number:02}" for number in range(40)]


async def test_days_of_before_are_done_anew_the_newest_first(connection: Connection) -> None:
    for number in range(3):
        for back in (30, 60):
            await note(connection, f"veh-{number}", HOUR - back)
        await connection.execute(
            "INSERT INTO vehicle_current_state VALUES (%s, %s, 50, 1, 20, now())",
            [f"veh-{number}", NOW],
        )
    await connection.execute("TRUNCATE rollup_due")  # as if it was stored before there were notes
    days = [(NOW - timedelta(hours=back)).date() for back in (30, 60)]
    for day in days:
        await connection.execute("INSERT INTO vehicle_day_due VALUES (%s)", [day])

    async def done() -> list[tuple[date, int]]:
        cursor = await connection.execute(
            "SELECT day, count(*) AS rows FROM vehicle_day GROUP BY day ORDER BY day DESC"
        )
        return [(row["day"], row["rows"]) for row in await cursor.fetchall()]

    assert await fill_a_day(connection, NOW, vehicles=2) is False
    assert await done() == [(days[0], 2)]
    assert await fill_a_day(connection, NOW, vehicles=2) is False
    assert await fill_a_day(connection, NOW, vehicles=2) is False  # it was the last of the day
    assert await done() == [(days[0], 3)]
    while not await fill_a_day(connection, NOW, vehicles=2):
        pass
    assert await done() == [(days[0], 3), (days[1], 3)]
    cursor = await connection.execute("SELECT dc FROM vehicle_day WHERE day = %s", [days[1]])
    assert {sum(row["dc"]) for row in await cursor.fetchall()} == {1_500_000_000}
