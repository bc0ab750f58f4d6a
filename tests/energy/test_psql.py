"""`vehicle_performance` in psql answers the whole hours that are rolled up, as the API would."""

from dataclasses import replace
from datetime import datetime
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg.rows import dict_row

from energy.stored.times import as_datetime, as_us
from energy.units import as_kwh
from tests.energy.generated import worlds
from tests.energy.kept_world import (
    FIRST,
    LATER,
    RollUp,
    Step,
    complete,
    counting,
    entries,
    fleet_after,
)
from tests.energy.pure import ask
from tests.energy.slow_world import HOUR, MINUTE, Stay, World
from tests.energy.stored_world import make_days, storable
from tests.energy.table import CAR, T0


@pytest.fixture(autouse=True)
def days(database_url: str) -> None:
    make_days(database_url)


def performance(url: str, vehicle: str, start: int, end: int) -> dict[str, Any]:
    with psycopg.connect(url, row_factory=dict_row) as connection:
        row = connection.execute(
            "SELECT * FROM vehicle_performance(%s, %s, %s)",
            [vehicle, as_datetime(start), as_datetime(end)],
        ).fetchone()
    assert row is not None
    return row


def check(row: dict[str, Any], world: World, vehicle: str) -> None:
    """Compare an answer with that of the readings, in the hours that it is about."""
    start, end = as_us(row["answered_from"]), as_us(row["answered_to"])
    said = ask(world, start, end, [vehicle])[vehicle]
    hours = row["hourly"]
    assert [as_us(datetime.fromisoformat(hour["start"])) for hour in hours] == list(
        range(start, end, HOUR)
    )
    assert [hour["ac_kwh"] for hour in hours] == [as_kwh(hour) for hour in said.ac]
    assert [hour["dc_kwh"] for hour in hours] == [as_kwh(hour) for hour in said.dc]
    assert row["status"] == said.status
    assert row["vehicle_coverage"] == pytest.approx(said.known[1] / (end - start))
    assert row["meter_coverage"] == pytest.approx(said.known[0] / max(said.asked[0], 1))
    assert (row["meter_readings"], row["vehicle_readings"]) == said.readings
    overlapping = {"overlapping_readings"}  # decided by the hour here
    assert set(row["reasons"]) - overlapping == said.reasons - overlapping
    total = sum(hour or 0 for hour in said.ac)
    assert row["ac_kwh"] == (
        as_kwh(total) if said.known[0] or any(hour is not None for hour in said.ac) else None
    )


@settings(max_examples=10, deadline=None, suppress_health_check=list(HealthCheck))
@given(worlds(), st.integers(0, 60), st.integers(1, 40))
def test_whole_hours_are_those_of_the_readings(
    database_url: str, world: World, begin: int, length: int
) -> None:
    world = storable(replace(world, as_of=LATER))
    start = FIRST + begin * HOUR
    steps: list[Step] = [entries(world), RollUp(LATER)]
    fleet_after(database_url, world, steps, (start, start + HOUR), LATER)
    complete(database_url, FIRST - 24 * HOUR, LATER)
    for car in world.vehicles:
        row = performance(database_url, car.name, start - MINUTE, start + length * HOUR + MINUTE)
        whole = (as_datetime(start), as_datetime(start + length * HOUR))
        if (row["answered_from"], row["answered_to"]) != whole:
            # Its silence on a day may tell something, and no row says what.
            assert any(facts.only_while_charging for facts in car.facts)
        if row["answered_to"] is not None:
            check(row, world, car.name)


def test_it_ends_before_the_hours_that_a_note_concerns(database_url: str) -> None:
    world = counting(range(0, 601, 10))
    rolled = [
        one for one in entries(world) if not isinstance(one, Stay) and one[2].at <= T0 + 6 * HOUR
    ]
    later = [one for one in entries(world) if one not in rolled]
    steps: list[Step] = [rolled, RollUp(LATER), later]
    fleet_after(database_url, world, steps, (T0, T0 + HOUR), LATER)
    row = performance(database_url, CAR, T0, T0 + 10 * HOUR)
    # The meter counts: what its readings of the last hour are worth is still open.
    assert as_us(row["answered_to"]) == T0 + 4 * HOUR
    check(row, world, CAR)
    row = performance(database_url, CAR, T0 + 5 * HOUR, T0 + 10 * HOUR)
    assert row.pop("as_of") is not None
    assert set(row.values()) == {None}


def test_all_energy_of_another_meter_is_refused(database_url: str) -> None:
    with (
        psycopg.connect(database_url) as connection,
        pytest.raises(psycopg.errors.UndefinedFunction),
    ):
        connection.execute("SELECT vehicle_performance('a', now() - interval '1 day', now(), 'b')")
