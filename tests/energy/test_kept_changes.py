"""What is changed by hand or entered later is in the answer, before and after it is rolled up."""

import asyncio
import re
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import psycopg
import pytest
from psycopg import AsyncConnection

from consumer.postgres.days import make_days
from consumer.upkeep.retention import drop_expired
from telemetry.streams import METER as METERS
from tests.energy import stored_world
from tests.energy.kept_world import (
    DAYS,
    LATER,
    RollUp,
    complete,
    counting,
    entries,
    fleet_after,
    fleet_now,
    right,
)
from tests.energy.slow_world import HOUR, KWH, MINUTE, Device, Facts, Reading, Stay, World
from tests.energy.table import CAR, METER, OTHER_CAR, T0


@pytest.fixture(autouse=True)
def days(database_url: str) -> None:
    stored_world.make_days(database_url)


FIRST_KEPT, DAY = date(2026, 6, 2), timedelta(days=1)


def check(url: str, before: World, change: str, after: World) -> None:
    """Roll up a world, change it in SQL, and compare the answers with those of what it is then."""
    wrong = fleet_after(url, before, [entries(before), RollUp(LATER)], DAYS, LATER)
    wanted = right(after, DAYS, LATER)
    assert wrong != wanted
    with psycopg.connect(url) as connection:
        assert connection.execute(change).rowcount > 0
    for anew in (False, True):
        assert fleet_now(url, DAYS, LATER, anew=anew) == wanted


def at(time: int) -> str:
    """Return a time of a world as SQL."""
    return f"to_timestamp({time // 1_000_000})"


def with_energy(world: World, value: int | None) -> World:
    """Return the world in which the car took that at T0 and an hour; None: no such reading."""
    [car] = world.vehicles
    readings = tuple(
        one if one.at != T0 + HOUR else Reading(one.at, value or 0)
        for one in car.readings
        if one.at != T0 + HOUR or value is not None
    )
    return replace(world, vehicles=(replace(car, readings=readings),))


THEN = f"WHERE recorded_at = {at(T0 + HOUR)}"


def test_a_deleted_reading(database_url: str) -> None:
    world = counting(range(0, 20 * 60, 10))
    wrong = with_energy(world, 10 * KWH)
    check(database_url, wrong, f"DELETE FROM vehicle_history {THEN}", with_energy(world, None))


def test_a_changed_reading(database_url: str) -> None:
    world = counting(range(0, 20 * 60, 10))
    change = f"UPDATE vehicle_history SET kwh_delivered_dc = 1 {THEN}"
    check(database_url, with_energy(world, 10 * KWH), change, with_energy(world, KWH))


def test_a_reading_of_a_meter_that_is_deleted_from_its_own_table(database_url: str) -> None:
    world = counting(range(0, 20 * 60, 10))
    [meter] = world.meters
    # The table is attached by hand, so its triggers are made by hand too.
    with psycopg.connect(database_url) as connection:
        connection.execute("SELECT watch_readings('meter_history_worlds', 'meter')")
    kept = tuple(one for one in meter.readings if one.at < T0 + 10 * HOUR)
    after = replace(world, meters=(replace(meter, readings=kept),))
    change = f"DELETE FROM meter_history_worlds WHERE recorded_at >= {at(T0 + 10 * HOUR)}"
    check(database_url, world, change, after)


def test_a_day_whose_table_is_emptied_as_the_runbook_says(database_url: str) -> None:
    runbook = Path(__file__).parents[2] / "docs" / "runbook.md"
    note = re.findall(r"INSERT INTO rollup_due .* FROM meter_history_\d{8} .*", runbook.read_text())
    name = "meter_history_20260603"
    with psycopg.connect(database_url) as connection:
        connection.execute("ALTER TABLE meter_history DETACH PARTITION meter_history_worlds")
        for table, begins, ends in (
            ("meter_history_before", "2026-05-01Z", "2026-06-03Z"),
            (name, "2026-06-03Z", "2026-06-04Z"),
            ("meter_history_after", "2026-06-04Z", "2026-07-01Z"),
        ):
            connection.execute(
                f"CREATE TABLE {table} PARTITION OF meter_history"
                f" FOR VALUES FROM ('{begins}') TO ('{ends}')"
            )
    world = counting(range(2, 70 * 60, 4))
    [meter] = world.meters
    first, last = T0 + 38 * HOUR, T0 + 62 * HOUR
    kept = tuple(one for one in meter.readings if not first <= one.at < last)
    after = replace(world, meters=(replace(meter, readings=kept),))
    [change] = [re.sub(r"meter_history_\d{8}", name, one) for one in note]
    check(database_url, world, f"{change}; TRUNCATE {name}", after)


def test_a_counter_that_was_silent_after_the_days_that_the_retention_removes(
    database_url: str,
) -> None:
    """Its next reading has nothing to be compared with any more, and is on a later day."""

    async def day_goes() -> None:
        async with await AsyncConnection.connect(database_url, autocommit=True) as connection:
            assert (await drop_expired(connection, first_kept=FIRST_KEPT)).dropped

    with psycopg.connect(database_url) as connection:
        connection.execute("ALTER TABLE meter_history DETACH PARTITION meter_history_worlds")
    asyncio.run(days_made(database_url, FIRST_KEPT - DAY, 5))
    world = counting((*range(0, 601, 10), 46 * 60, *range(50 * 60, 60 * 60, 10)))
    [meter] = world.meters
    window = (T0 + 14 * HOUR, T0 + 60 * HOUR)
    fleet_after(database_url, world, [entries(world), RollUp(LATER)], window, LATER)
    complete(database_url, window[0], LATER)
    assert fleet_now(database_url, window, LATER) == right(world, window, LATER)
    asyncio.run(day_goes())
    kept = tuple(one for one in meter.readings if one.at >= window[0])
    wanted = right(replace(world, meters=(replace(meter, readings=kept),)), window, LATER)
    assert wanted != right(world, window, LATER)
    for _ in range(2):
        assert fleet_now(database_url, window, LATER) == wanted
        assert fleet_now(database_url, window, LATER, anew=True) == wanted
        complete(database_url, window[0], LATER)


async def days_made(url: str, first: date, count: int) -> None:
    """Make days of the meters' history."""
    number = first.toordinal() - date(1970, 1, 1).toordinal()
    async with await AsyncConnection.connect(url, autocommit=True) as connection:
        await make_days(connection, METERS, range(number, number + count))


def test_a_removed_assignment(database_url: str) -> None:
    world = counting(range(0, 20 * 60, 10))
    check(
        database_url, world, "DELETE FROM vehicle_meter_assignment", replace(world, assignments=())
    )


SESSION = Stay(METER, OTHER_CAR, T0 + 65 * MINUTE, T0 + 3 * HOUR)


def charging() -> World:
    """A world in which another car is charged for two hours by the first one's meter."""
    world = counting(range(0, 20 * 60, 10))
    cars = (*world.vehicles, Device(OTHER_CAR, readings=world.vehicles[0].readings))
    return replace(world, vehicles=cars, sessions=(SESSION,))


def test_a_removed_session_gives_the_energy_back(database_url: str) -> None:
    world = charging()
    check(database_url, world, "DELETE FROM charging_session", replace(world, sessions=()))


@pytest.mark.parametrize(("start", "end"), [(20, 180), (100, 180), (65, 90), (65, 400)])
def test_a_session_with_other_times(database_url: str, start: int, end: int) -> None:
    begin, finish = T0 + start * MINUTE, T0 + end * MINUTE
    change = f"UPDATE charging_session SET started_at = {at(begin)}, ended_at = {at(finish)}"
    world = charging()
    after = replace(world, sessions=(Stay(METER, OTHER_CAR, begin, finish),))
    check(database_url, world, change, after)


def test_a_session_of_another_vehicle(database_url: str) -> None:
    change = f"UPDATE charging_session SET vehicle_id = '{CAR}'"
    world = charging()
    after = replace(world, sessions=(replace(SESSION, vehicle=CAR),))
    check(database_url, world, change, after)


def facts_from(world: World, since: int) -> World:
    """Return the world whose meter is no register from a time on: its readings are too much."""
    [meter] = world.meters
    facts = (*meter.facts, Facts(since=since))
    return replace(world, meters=(replace(meter, facts=facts),))


def test_facts_that_are_entered_later(database_url: str) -> None:
    world = counting(range(0, 20 * 60, 10))
    since = T0 + 5 * HOUR
    change = f"INSERT INTO device_facts VALUES ('meter', '{METER}', {at(since)}, 'interval', 60)"
    check(database_url, world, change, facts_from(world, since))


def test_facts_that_are_taken_back(database_url: str) -> None:
    world = counting(range(0, 20 * 60, 10))
    change = "DELETE FROM device_facts WHERE valid_from > '-infinity'"
    check(database_url, facts_from(world, T0 + 5 * HOUR), change, world)


def test_a_first_registration_of_a_device_that_has_sent_readings(database_url: str) -> None:
    world = counting(range(0, 20 * 60, 10))
    [car] = world.vehicles
    before = replace(world, vehicles=(replace(car, facts=()),))
    after = replace(world, vehicles=(replace(car, facts=(Facts(register=True),)),))
    change = "INSERT INTO device_facts VALUES ('vehicle', 'V', '-infinity', 'register', 60)"
    check(database_url, before, change, after)
