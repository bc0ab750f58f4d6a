"""What must not change the answers about energy, and what must move within them."""

from dataclasses import replace
from random import Random
from typing import TypeVar

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from energy.history import is_complete_at
from energy.line import Line
from energy.units import HOUR_US, MINUTE_US
from tests.energy.generated import MOMENTS, devices, windows, worlds
from tests.energy.pure import ask, ask_of_meter, history, plain_device
from tests.energy.slow_world import EVER, KWH, Device, Facts, Reading, Stay, World
from tests.energy.table import T0

T = TypeVar("T")
FEW = settings(max_examples=15)


def total(hours: list[int | None]) -> int:
    return sum(hour or 0 for hour in hours)


@FEW
@given(worlds(), windows(), st.integers(0, 2**16))
def test_the_order_of_devices_sessions_and_assignments_does_not_matter(
    world: World, window: tuple[int, int], seed: int
) -> None:
    def shuffled(things: list[T]) -> list[T]:
        return Random(seed).sample(things, len(things))

    other = replace(
        world,
        sessions=tuple(shuffled(list(world.sessions))),
        assignments=tuple(shuffled(list(world.assignments))),
    )
    assert ask(other, *window, order=shuffled) == ask(world, *window)


@FEW
@given(worlds(), windows())
def test_a_vehicles_answer_does_not_depend_on_who_else_is_asked_for(
    world: World, window: tuple[int, int]
) -> None:
    together = ask(world, *window)
    for name, answer in together.items():
        assert ask(world, *window, [name]) == {name: answer}


@FEW
@given(worlds(), windows(), MOMENTS)
def test_split_windows_add_up(world: World, window: tuple[int, int], middle: int) -> None:
    start, end = window
    if not start < middle < end:
        middle = (start + end) // 2
    first, second, whole = ask(world, start, middle), ask(world, middle, end), ask(world, *window)
    for name in whole:
        for side in ("ac", "dc"):
            parts = total(getattr(first[name], side)) + total(getattr(second[name], side))
            assert parts == total(getattr(whole[name], side))


@FEW
@given(worlds(), windows())
def test_an_hour_asked_for_alone_answers_what_it_does_within_the_window(
    world: World, window: tuple[int, int]
) -> None:
    whole = ask(world, *window)
    edges = [window[0], *range(window[0] // HOUR_US * HOUR_US + HOUR_US, window[1], HOUR_US)]
    edges.append(window[1])
    for hour in {0, len(edges) // 2 - 1, len(edges) - 2}:
        for name, alone in ask(world, edges[hour], edges[hour + 1]).items():
            assert (alone.ac, alone.dc) == ([whole[name].ac[hour]], [whole[name].dc[hour]])


@FEW
@given(worlds(), windows(), st.booleans())
def test_a_silent_device_changes_nothing(
    world: World, window: tuple[int, int], is_assigned: bool
) -> None:
    """Not even if it is assigned to a silent meter."""
    more = replace(
        world,
        meters=(Device("A"), *world.meters),
        vehicles=(Device("A car"), *world.vehicles),
        assignments=(*world.assignments, *([Stay("A", "A car", T0)] if is_assigned else [])),
    )
    answers = ask(more, *window)
    del answers["A car"]
    assert answers == ask(world, *window)


@FEW
@given(worlds(), windows(), st.integers(-90, 90))
def test_moving_a_sessions_edge_moves_no_energy_of_the_meter(
    world: World, window: tuple[int, int], minutes: int
) -> None:
    """In a window that holds whole readings: within one, sessions decide where energy lies."""
    meter = world.meters[0]
    ends = sorted(reading.at for reading in meter.readings)
    start, end = (ends[0] - 4 * HOUR_US, ends[-1]) if ends else window
    session, vehicle = Stay(meter.name, world.vehicles[0].name, T0, T0 + 2 * HOUR_US), "V0"
    moved = replace(session, end=session.end + minutes * MINUTE_US)
    before, after = (
        ask_of_meter(replace(world, sessions=(one,)), vehicle, meter.name, start, end)
        for one in (session, moved)
    )
    assert total(before.ac) == total(after.ac)


def test_moving_a_sessions_edge_moves_energy_from_one_vehicle_to_the_other() -> None:
    quarter = Facts(interval=15 * MINUTE_US)
    meter = Device("M", (quarter,), (Reading(T0 + 15 * MINUTE_US, 3 * KWH),))
    for edge in (4, 5, 10):
        sessions = (
            Stay("M", "V", T0, T0 + edge * MINUTE_US),
            Stay("M", "W", T0 + edge * MINUTE_US, T0 + 15 * MINUTE_US),
        )
        world = World((meter,), (Device("V"), Device("W")), sessions)
        said = ask(world, T0, T0 + HOUR_US)
        assert (total(said["V"].ac), total(said["W"].ac)) == (
            KWH * edge // 5,
            KWH * (15 - edge) // 5,
        )


@FEW
@given(st.integers(1, 3), st.sets(st.integers(1, 200), min_size=1))
def test_copies_removed_leave_the_energy_of_a_register(every: int, copied: set[int]) -> None:
    """A register that is read twice, a second apart, has gained nothing more."""
    once = [Reading(T0 + i * every * MINUTE_US, i * every * KWH // 10) for i in range(200)]
    again = [
        replace(once[i], at=once[i].at + 1_000_000) for i in range(len(once) - 1) if i in copied
    ]
    stay = (Stay("M", "V", T0 - 100 * HOUR_US),)
    totals = []
    for readings in (once, once + again):
        meter = Device("M", (Facts(register=True),), tuple(readings))
        said = ask(World((meter,), (Device("V"),), (), stay), T0 - 1, once[-1].at)["V"]
        totals.append((total(said.ac), said.reasons, said.known))
    assert totals[0] == totals[1]


def test_no_readings_time_reaches_into_the_stretch_of_another_device() -> None:
    """A reading claims a day at most, and the first of a stretch may lie at its beginning."""
    line = Line.of(np.array([T0, T0]), np.array([T0 + HOUR_US, T0 + HOUR_US]))
    first_of_second = line.times(np.array([1]), np.array([T0 + 1]))
    assert first_of_second - 24 * HOUR_US > line.times(np.array([0]), np.array([T0 + HOUR_US]))


@settings(max_examples=60)
@given(
    devices("M"),
    st.integers(0, 100),
    st.integers(1, 130),
    st.sampled_from((EVER, T0 + 3 * HOUR_US)),
)
def test_readings_that_are_complete_at_a_time_tell_all_after_it(
    device: Device, cut: int, minutes: int, as_of: int
) -> None:
    """Whatever was before them: the worth of later readings stays the same."""
    readings = sorted(device.readings, key=lambda reading: reading.at)
    if not readings:
        return
    first = readings[min(cut, len(readings) - 1)].at
    longest = max(facts.interval for facts in device.facts)
    time = first + HOUR_US + longest + minutes * MINUTE_US
    later = tuple(reading for reading in readings if reading.at >= first)
    few = World((replace(device, readings=later),), as_of=as_of)
    cut_short = history(few, ["M"], first, time)
    shift = int(cut_short.line.shift[0])
    if not is_complete_at(cut_short.readings, plain_device(device), time, shift):
        return
    assert _worth_after(few, time) == _worth_after(World((device,), as_of=as_of), time)


def _worth_after(world: World, time: int) -> list[tuple[int, int, int, int]]:
    one = history(world, ["M"], time, time + 1)
    worth, shift = one.worth, one.line.shift[0]
    table = np.stack((worth.at - shift, worth.since - shift, worth.energy, worth.doubts), axis=1)
    return [tuple(row) for row in table.tolist() if row[0] > time]
