"""A database in which another arithmetic kept its rollups: what was kept goes, and comes anew."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, time, timedelta

import pytest
from psycopg import AsyncClientCursor, AsyncConnection
from psycopg.rows import DictRow, dict_row

from consumer.postgres.connection import Connection
from consumer.postgres.days import number_of
from consumer.postgres.schema import apply_schema
from energy.fleet import Charge
from energy.status import Status
from energy.stored.fleet import read_fleet
from energy.stored.rolling_up import complete_days, roll_up
from runtime.postgres.arrays import load_arrays
from tests.integration.conftest import NOW, another_schema, rows
from tests.integration.days import make_days_as_before

BEGIN = datetime.combine(NOW.date() - timedelta(days=2), time(10), UTC)
WINDOW = BEGIN, BEGIN + timedelta(hours=1)
AHEAD = 5
FIRST = BEGIN.date() - timedelta(days=1)
# A minute apart, of a pair of interval devices: 7.2 kWh drawn, and 6.48 of it delivered.
READINGS = """
INSERT INTO meter_history (meter_id, recorded_at, kwh_consumed_ac, voltage)
SELECT 'm', %(begin)s + number * interval '1 minute', 0.12, 230
FROM generate_series(1, 60) AS number;
INSERT INTO vehicle_history (vehicle_id, recorded_at, soc, kwh_delivered_dc, battery_temp)
SELECT 'v', %(begin)s + number * interval '1 minute', 50, 0.108, 20
FROM generate_series(1, 60) AS number;
INSERT INTO vehicle_current_state VALUES ('v', %(begin)s, 50, 0.108, 20, now());
INSERT INTO vehicle_meter_assignment (vehicle_id, meter_id, started_at)
VALUES ('v', 'm', %(begin)s);
INSERT INTO rollup_due (stream, devices, hours)
VALUES ('meter', '{m}', %(hours)s), ('vehicle', '{v}', %(hours)s);
"""
RIGHT = [Charge("v", Status.OPTIMAL, 7_200_000_000, 6_480_000_000, 1.0, 1.0)]
FLEET = "SELECT * FROM fleet_performance(%s, %s)"
VEHICLE = "SELECT ac_kwh, dc_kwh, status, hourly FROM vehicle_performance('v', %s, %s, NULL)"


@asynccontextmanager
async def before(url: str, older: str) -> AsyncIterator[Connection]:
    """Lend a connection to such a database, in which all is rolled up."""
    async with another_schema(url, "elsewhere", older) as connection:
        today = number_of(NOW.date())
        await make_days_as_before(connection, range(today - 3, today + AHEAD))
        hours = [int(BEGIN.timestamp()) // 3_600]
        cursor = AsyncClientCursor(connection)
        await cursor.execute(READINGS, {"begin": BEGIN, "hours": hours})
        await connection.execute("SELECT roll_up()")
        while await rows(connection, "SELECT complete_a_day(current_date - 9, current_date)") == [
            (True,)
        ]:
            pass
        assert await rows(connection, "SELECT count(*) FROM energy_rollup") == [(2,)]
        yield connection


@asynccontextmanager
async def after(url: str) -> AsyncIterator[AsyncConnection[DictRow]]:
    """Lend a connection as the replicas of now have it."""
    async with await AsyncConnection.connect(
        f"{url}?options=-csearch_path%3Delsewhere%20-ctimezone%3DUTC",
        row_factory=dict_row,
        autocommit=True,
    ) as connection:
        load_arrays(connection)
        yield connection


async def fleet(connection: AsyncConnection[DictRow]) -> list[Charge]:
    async with connection.transaction():
        return await read_fleet(connection, *WINDOW, NOW)


async def test_every_day_of_history_is_done_anew(database_url: str, older: str) -> None:
    async with before(database_url, older) as connection:
        await apply_schema(connection)
        async with after(database_url) as upkeep:
            assert await fleet(upkeep) == RIGHT  # from readings
            assert await roll_up(upkeep, NOW) is True
            while await complete_days(upkeep, NOW, first=FIRST, seconds=0) is False:
                assert await fleet(upkeep) == RIGHT
            await connection.execute("TRUNCATE meter_history, vehicle_history")
            assert await fleet(upkeep) == RIGHT  # from what is kept


async def test_what_is_noted_before_and_after_is_rolled_up(database_url: str, older: str) -> None:
    """Replicas of before leave their notes to the others."""
    async with before(database_url, older) as connection:
        note = "INSERT INTO rollup_due (stream, devices, hours) VALUES ('vehicle', '{v}', %s)"
        hours = [int(BEGIN.timestamp()) // 3_600]
        await connection.execute(note, [hours])
        await apply_schema(connection)
        await connection.execute(note, [hours])
        assert await rows(connection, "SELECT roll_up(100)") == [(0,)]
        assert await rows(connection, "SELECT complete_a_day('2026-01-01', current_date)") == [
            (False,)
        ]
        assert await rows(connection, "SELECT count(*) FROM rollup_due") == [(2,)]
        assert await rows(connection, "SELECT count(*) FROM energy_rollup") == [(0,)]
        async with after(database_url) as upkeep:
            assert await roll_up(upkeep, NOW) is True
        assert await rows(connection, "SELECT sum(told) FROM vehicle_day, unnest(dc) AS told") == [
            (6_480_000_000,)
        ]


async def test_replicas_of_before_are_answered_as_before(database_url: str, older: str) -> None:
    """They have prepared their questions."""
    async with before(database_url, older) as connection:

        async def answers() -> list[list[tuple[object, ...]]]:
            return [
                await (await connection.execute(question, WINDOW, prepare=True)).fetchall()
                for question in (FLEET, VEHICLE)
            ]

        told = await answers()
        [[(vehicle, status, ac_kwh, *_)], [(_, dc_kwh, *_)]] = told
        assert (vehicle, status, ac_kwh, dc_kwh) == ("v", "optimal", 7.2, 6.48)
        await apply_schema(connection)
        assert await answers() == told
        # The one of psql answers whole hours, once they are rolled up.
        asked = "SELECT dc_kwh, answered_to FROM vehicle_performance('v', %s, %s)"
        assert await (await connection.execute(asked, WINDOW)).fetchall() == [(None, None)]
        async with after(database_url) as upkeep:
            while await complete_days(upkeep, NOW, first=FIRST) is not True:
                pass
        assert await (await connection.execute(asked, WINDOW)).fetchall() == [(6.48, WINDOW[1])]


@pytest.mark.parametrize("what", ["SELECT", "SELECT, INSERT, UPDATE, DELETE"])
async def test_who_may_use_rollups_may_go_on(database_url: str, older: str, what: str) -> None:
    async with before(database_url, older) as connection:
        await connection.execute(f"GRANT {what} ON energy_rollup TO pg_monitor")
        await apply_schema(connection)
        for table in ("vehicle_day", "vehicle_due", "vehicle_day_done"):
            for right in ("SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE"):
                may = f"SELECT has_table_privilege('pg_monitor', '{table}', '{right}')"
                assert await rows(connection, may) == [(right in what,)]
