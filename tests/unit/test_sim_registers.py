"""What registers send, and the energy that their readings account for."""

from collections.abc import Set

import numpy as np
import pytest

from producer_sim.devices.registers import Account, Counters
from producer_sim.devices.world import NEVER, UNITS_PER_KWH, Counting

ENERGY = 100
ALL = 6


def counting(
    *, starts_at: int = 0, modulus: int = 0, restarts_after: int = NEVER, restarts_at: int = 0
) -> Counting:
    """Return an interval device and a register."""
    return Counting(
        is_register=np.array([False, True]),
        starts_at=np.array([0, starts_at]),
        modulus=np.array([0, modulus]),
        restarts_after=np.array([NEVER, restarts_after]),
        restarts_at=np.array([0, restarts_at]),
    )


def told(
    plan: Counting, withheld: Set[int] = frozenset()
) -> tuple[list[float], list[int], list[int]]:
    """Return what a register sends in each tick, the energy of that, and the ticks of its jumps."""
    counters, account = Counters(plan), Account(plan)
    sent, worth, jumps = [], [], []
    energy = np.full(2, ENERGY)
    for tick in range(ALL):
        sent.append(float(counters.read(tick, energy)[1]))
        tells, jumped = account.take(tick, counters, energy, np.full(2, tick not in withheld))
        assert tells[0] == (0 if tick in withheld else ENERGY)
        worth.append(int(tells[1]))
        jumps += [tick] if jumped[1] else []
    return sent, worth, jumps


def test_a_register_sends_its_counter_and_its_first_reading_is_a_baseline() -> None:
    sent, worth, jumps = told(counting(starts_at=5 * UNITS_PER_KWH))
    assert sent == [5.01, 5.02, 5.03, 5.04, 5.05, 5.06]
    assert worth == [0, *[ENERGY] * 5]
    assert jumps == []


def test_the_energy_of_a_gap_comes_with_the_next_reading() -> None:
    _, worth, _ = told(counting(), withheld={2, 3})
    assert worth == [0, ENERGY, 0, 0, 3 * ENERGY, ENERGY]


def test_a_rollover_loses_nothing() -> None:
    plan = counting(starts_at=1_000 * UNITS_PER_KWH - 250, modulus=1_000 * UNITS_PER_KWH)
    sent, worth, _ = told(plan)
    assert sent == [999.985, 999.995, 0.005, 0.015, 0.025, 0.035]
    assert worth == [0, *[ENERGY] * 5]


@pytest.mark.parametrize(
    ("withheld", "tells"),
    [
        (set(), [0, 100, 100, 100, 100, 100]),
        ({2}, [0, 100, 0, 100, 100, 100]),  # what it counted before the reset is lost
        ({3}, [0, 100, 100, 0, 200, 100]),  # what it counted since is not
        ({2, 3}, [0, 100, 0, 0, 200, 100]),
        ({0, 1, 2}, [0, 0, 0, 0, 100, 100]),
    ],
)
def test_a_reset_counts_from_zero(withheld: set[int], tells: list[int]) -> None:
    plan = counting(starts_at=20_000 * UNITS_PER_KWH, restarts_after=2)
    sent, worth, jumps = told(plan, withheld)
    assert sent[2:4] == [20_000.03, 0.01]
    assert worth == tells
    assert jumps == []


@pytest.mark.parametrize(
    ("withheld", "tells", "jumps_in"),
    [
        (set(), [0, 100, 100, 0, 100, 100], [3]),
        ({3, 4}, [0, 100, 100, 0, 0, 0], [5]),
        ({0, 1, 2}, [0, 0, 0, 0, 100, 100], []),
    ],
)
def test_a_replacement_meters_first_reading_is_a_jump_without_energy(
    withheld: set[int], tells: list[int], jumps_in: list[int]
) -> None:
    plan = counting(starts_at=20_000 * UNITS_PER_KWH, restarts_after=2, restarts_at=7_000 * 10_000)
    sent, worth, jumps = told(plan, withheld)
    assert sent[3] == 7_000.01
    assert worth == tells
    assert jumps == jumps_in
