"""When the energy of readings was used, and how the witness adds it up by hour."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from producer_sim.devices.chaos import Shares as Faults
from producer_sim.devices.quirks.device import NANO
from producer_sim.oracle.shares import Shares, by_hour
from producer_sim.oracle.truth import Truth
from tests.unit.worlds import HOUR_US, MINUTE_US, START_US, lived

AC, DC = 0, 1


def shared(charging: list[bool], energy: int) -> list[int]:
    """Return the shares of a reading that accounts for all of these ticks, from the oldest on."""
    shares = Shares()
    for ticks, charges in enumerate(charging, start=1):
        told = np.array([energy if ticks == len(charging) else 0])
        found = shares.take(told, np.array([ticks]), np.array([charges]))
        mine = [int(share[0]) for share in found]
    return mine[::-1]


@pytest.mark.parametrize(
    ("charging", "shares"),
    [
        ([False], [12]),
        ([False, False, False], [4, 4, 4]),
        ([True, True, True], [4, 4, 4]),
        ([False, True, False], [0, 12, 0]),
        ([True, False, True], [6, 0, 6]),
    ],
)
def test_energy_lies_in_the_sessions_of_its_time(charging: list[bool], shares: list[int]) -> None:
    assert shared(charging, 12) == shares


@given(st.lists(st.booleans(), min_size=1, max_size=7), st.integers(0, 10**13))
def test_the_shares_of_a_reading_add_up_to_it(charging: list[bool], energy: int) -> None:
    assert sum(shared(charging, energy)) == energy


def test_a_shorter_gap_than_that_of_another_device_is_its_own() -> None:
    shares = Shares()
    for ticks in (1, 2, 3):
        found = list(shares.take(np.array([9, 9]), np.array([ticks, 1]), np.array([False, True])))
    assert [one.tolist() for one in found] == [[3, 9], [3, 0], [3, 0]]


@given(st.integers(0, 2 * HOUR_US), st.integers(0, 10**12), st.integers(1, 3 * HOUR_US))
def test_the_hours_of_a_reading_add_up_to_it(end: int, energy: int, length: int) -> None:
    ends = np.array([START_US + end])
    found = {hour: int(share[0]) for hour, share in by_hour(np.array([energy]), ends, length)}
    assert sum(found.values()) == energy
    assert all(share >= 0 for share in found.values())
    edges = [START_US + end - length, START_US + end]
    assert all(hour + HOUR_US > edges[0] and hour < edges[1] for hour in found)


def test_an_hours_edge_cuts_an_interval_evenly() -> None:
    ends = np.array([START_US + MINUTE_US])
    found = {hour: share.tolist() for hour, share in by_hour(np.array([90]), ends, 3 * MINUTE_US)}
    assert found == {START_US - HOUR_US: [60], START_US: [30]}


def total(truth: Truth, row: int) -> int:
    return int(sum(figures[row].sum() for figures in truth.hours.values()))


def test_gaps_move_the_energy_of_registers_between_hours_but_lose_none() -> None:
    calm, _ = lived(registers=1.0, duration_us=3 * HOUR_US)
    gappy, sent = lived(registers=1.0, duration_us=3 * HOUR_US, shares=Faults.of(0.0, gaps=0.2))
    lost = (total(calm, AC) - total(gappy, AC)) / NANO
    assert 0 <= lost < 0.02 * total(calm, AC) / NANO
    assert len(gappy.withheld) > 0.15 * len(sent)
    moved = [
        abs(int(calm.hours[hour][AC].sum()) - int(gappy.hours[hour][AC].sum()))
        for hour, _ in pairwise(sorted(calm.hours))
    ]
    assert max(moved) > 0


def test_no_counter_restarts_where_nothing_could_settle() -> None:
    short, _ = lived(registers=1.0, duration_us=90 * MINUTE_US)
    long, _ = lived(registers=1.0, duration_us=6 * HOUR_US)
    for truth, most in ((short, 0), (long, 100)):
        jumps = [one.jumped_at for one in truth.devices if one.jumped_at is not None]
        assert bool(jumps) == bool(most)
        assert all(at < truth.end_us - HOUR_US for at in jumps)
