"""What is kept of vehicles, and the rest from readings, is the answer from readings alone."""

from dataclasses import replace
from fractions import Fraction
from random import Random

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.energy.generated import worlds
from tests.energy.kept_world import (
    DAYS,
    FIRST,
    LATER,
    RollUp,
    Step,
    counting,
    entries,
    fleet_after,
    fleet_now,
    right,
)
from tests.energy.slow_world import HOUR, KWH, MINUTE, Device, Facts, Reading, Stay, World
from tests.energy.stored_world import make_days, storable
from tests.energy.table import CAR, INTERVAL, METER, REGISTER, T0

MIDNIGHT = T0 + 14 * HOUR
# How far a window begins or ends from a whole hour.
EDGES = [0, 0, 0, 1, 20 * MINUTE, 59 * MINUTE]


@pytest.fixture(autouse=True)
def days(database_url: str) -> None:
    make_days(database_url)


def check(
    url: str, world: World, steps: list[Step], window: tuple[int, int] = DAYS, as_of: int = LATER
) -> None:
    """Let a world come, and compare the answer with the one from readings alone."""
    assert fleet_after(url, world, steps, window, as_of) == right(world, window, as_of)


@st.composite
def arrivals(draw: st.DrawFn, world: World, last: int) -> list[Step]:
    """The entries in any order, in some batches, and the roll-ups in between."""
    left = entries(world)
    Random(draw(st.integers(0, 2**16))).shuffle(left)
    if draw(st.booleans()):  # nearly in order
        left.sort(key=lambda one: one.start if isinstance(one, Stay) else one[2].at // (3 * HOUR))
    ages = sorted(draw(st.lists(st.integers(0, 300), min_size=1, max_size=4)), reverse=True)
    steps: list[Step] = []
    size = max(1, len(left) // (len(ages) + 1))
    for number, age in enumerate(ages):
        steps.append(left[number * size : (number + 1) * size])
        steps.append(RollUp(last - age * MINUTE, draw(st.sampled_from((1, 1000)))))
    steps.append(left[len(ages) * size :])
    if draw(st.booleans()):
        steps.append(RollUp(last - ages[-1] * MINUTE))
    return steps


@settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))
@given(worlds(), st.integers(0, 60), st.integers(1, 40), st.data())
def test_kept_hours_and_readings_add_up_to_the_answer(
    database_url: str, world: World, begin: int, length: int, data: st.DataObject
) -> None:
    world = storable(world)
    as_of = min(world.as_of, LATER)
    start = FIRST + begin * HOUR + data.draw(st.sampled_from(EDGES))
    end = FIRST + (begin + length) * HOUR + data.draw(st.sampled_from(EDGES))
    steps = data.draw(arrivals(world, as_of))
    check(database_url, world, steps, (start, end), as_of)


def test_what_is_kept_is_answered_without_a_reading(database_url: str) -> None:
    world = counting(range(0, 20 * 60, 10))
    fleet_after(database_url, world, [entries(world), RollUp(LATER)], DAYS, LATER)
    with psycopg.connect(database_url) as connection:
        connection.execute("TRUNCATE meter_history, vehicle_history")
    assert fleet_now(database_url, DAYS, LATER) == right(world, DAYS, LATER)


def test_a_late_reading_is_answered_before_and_after_it_is_rolled_up(database_url: str) -> None:
    world = counting(range(0, 20 * 60, 10))
    late = [one for one in entries(world) if not isinstance(one, Stay) and one[2].at == T0 + HOUR]
    others = [one for one in entries(world) if one not in late]
    steps: list[Step] = [others, RollUp(LATER), late]
    check(database_url, world, steps)
    check(database_url, world, [*steps, RollUp(LATER)])


@pytest.mark.parametrize("start", [T0 + 12 * HOUR, T0 + 13 * HOUR, MIDNIGHT])
def test_a_gap_over_midnight_is_known_to_those_who_ask_for_all_of_it(
    start: int, database_url: str
) -> None:
    """It begins 90 minutes before midnight, and ends 90 minutes after."""
    world = counting([*range(0, 750, 10), *range(930, 1200, 10)])
    early = [one for one in entries(world) if not isinstance(one, Stay) and one[2].at < MIDNIGHT]
    late = [one for one in entries(world) if one not in early]
    window = start, MIDNIGHT + 4 * HOUR
    check(database_url, world, [early, RollUp(LATER), late, RollUp(LATER)], window)
    check(database_url, world, [early, RollUp(LATER), late], window)


def test_a_gap_that_began_in_what_is_kept_is_known_where_its_end_is_read(
    database_url: str,
) -> None:
    world = counting([*range(0, 750, 10), *range(930, 1200, 10)])
    fleet_after(database_url, world, [entries(world), RollUp(LATER)], DAYS, LATER)
    with psycopg.connect(database_url) as connection:
        connection.execute(
            "DELETE FROM vehicle_day WHERE day = to_timestamp(%s)::date", [MIDNIGHT // 1_000_000]
        )
    window = T0 + 12 * HOUR, MIDNIGHT + 4 * HOUR
    assert fleet_now(database_url, window, LATER) == right(world, window, LATER)


def test_a_session_entered_late_moves_energy_that_was_kept(database_url: str) -> None:
    world = replace(
        counting(range(0, 20 * 60, 50)),
        sessions=(Stay(METER, CAR, T0 + 65 * MINUTE, T0 + 2 * HOUR),),
    )
    readings = [one for one in entries(world) if not isinstance(one, Stay)]
    steps: list[Step] = [readings, RollUp(LATER), list(world.sessions)]
    window = T0 + HOUR, T0 + 2 * HOUR
    check(database_url, world, steps, window)
    check(database_url, world, [*steps, RollUp(LATER)], window)


def test_an_undecided_fall_is_not_kept_longer_than_it_is_open(database_url: str) -> None:
    """What the register fell to is energy from zero on once its hour is over."""
    readings = (Reading(T0, 500 * KWH), Reading(T0 + 30 * MINUTE, 3 * KWH))
    world = replace(counting(()), meters=(Device(METER, (REGISTER,), readings),))
    steps: list[Step] = [entries(world), RollUp(T0 + 40 * MINUTE)]
    window = T0, T0 + HOUR
    answers = {age: right(world, window, T0 + age * MINUTE) for age in (40, 89, 90)}
    assert answers[40] == answers[89] != answers[90]
    for age, answer in answers.items():
        assert fleet_after(database_url, world, steps, window, T0 + age * MINUTE) == answer
    again = [*steps, RollUp(T0 + 90 * MINUTE)]
    assert fleet_after(database_url, world, again, window, T0 + 90 * MINUTE) == answers[90]


def test_silence_is_known_on_days_without_a_row(database_url: str) -> None:
    silent = Facts(only_while_charging=True)
    world = counting(range(0, 60, 10))
    world = replace(world, vehicles=(replace(world.vehicles[0], facts=(silent,)),))
    check(database_url, world, [entries(world), RollUp(LATER)], (FIRST, T0 + 70 * HOUR))


@pytest.mark.parametrize("fall", [90, 330])
def test_a_late_return_makes_a_dip_of_what_was_kept_as_a_reset(
    fall: int, database_url: str
) -> None:
    """The fall's time begins hours before the reading that tells what it was."""
    shown = ((0, 500), (fall, 3), (fall + 25, 4), (fall + 35, 501))
    readings = tuple(Reading(T0 + minute * MINUTE, value * KWH) for minute, value in shown)
    rated = replace(REGISTER, capacity_kw=Fraction(11))
    world = replace(counting(()), meters=(Device(METER, (rated,), readings),))
    *others, late = entries(world)
    window = T0, T0 + 8 * HOUR
    check(database_url, world, [others, RollUp(LATER), [late]], window)
    check(database_url, world, [others, RollUp(LATER), [late], RollUp(LATER)], window)


def test_a_late_reading_covers_its_interval_in_the_hour_before(database_url: str) -> None:
    """Twenty seconds after the hour it tells of forty seconds before."""
    times = [T0 + 30 * MINUTE, T0 + HOUR + MINUTE // 3]
    readings = tuple(Reading(at, KWH // 10) for at in times)
    world = replace(counting(()), vehicles=(Device(CAR, (INTERVAL,), readings),))
    first, late = entries(world)
    window = T0, T0 + HOUR
    check(database_url, world, [[first], RollUp(LATER), [late]], window)
    check(database_url, world, [[first], RollUp(LATER), [late], RollUp(LATER)], window)
