"""A world: who charges where, which devices are registers, which chargers are bad."""

from dataclasses import fields

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from producer_sim.devices.fleet import Fleet, Mode
from producer_sim.devices.world import NEVER, NO_VEHICLE, Condition, Counting, Tie, World
from producer_sim.runs.load import Load
from tests.unit.worlds import MINUTE_US, START_US, plan_of

TICKS = 200
worlds = st.builds(
    World.drawn,
    size=st.integers(1, 120),
    seed=st.integers(0, 2**32),
    ticks=st.just(TICKS),
    registers=st.floats(0, 1),
)


@settings(max_examples=50)
@given(worlds)
def test_a_meter_has_one_vehicle_two_or_none(world: World) -> None:
    for tick in (0, TICKS - 1):
        charger = world.charger_at(tick)
        vehicles = np.bincount(charger, minlength=len(charger))
        assert vehicles.max() <= 2
        sharing = np.flatnonzero(vehicles == 2)
        assert np.isin(world.tie[sharing], (Tie.SHARING, Tie.HOST)).all()
        assert np.array_equal(sharing, world.sharing_firsts)
        owner = world.assigned_at(tick)
        owned = owner != NO_VEHICLE
        assert np.array_equal(charger[owner[owned]], np.flatnonzero(owned))


@settings(max_examples=50)
@given(worlds)
def test_the_pairs_of_a_block_are_read_together_and_have_one_condition(world: World) -> None:
    phases = world.aligned(np.arange(len(world.tie)), edge=len(world.tie) // 2)
    assert len(world.tie) // 2 in phases
    visited = world.charger != np.arange(len(world.tie))
    moved = world.later_charger != world.charger
    for pairs, meters in ((visited, world.charger), (moved, world.later_charger)):
        assert np.array_equal(phases[pairs], phases[meters[pairs]])
        assert np.array_equal(world.condition[pairs], world.condition[meters[pairs]])
    assert (np.diff(phases) >= 0).all()
    assert np.array_equal(moved, world.moves_after != NEVER)


def test_a_world_of_forty_pairs_has_every_tie_and_condition() -> None:
    world = World.drawn(size=40, seed=1, ticks=TICKS, registers=0.2)
    assert set(world.tie.tolist()) == set(Tie)
    assert set(world.condition.tolist()) == set(Condition)
    meters, vehicles = world.meters, world.vehicles
    assert meters.is_register.sum() == 8
    assert vehicles.is_register.sum() == 4
    assert (meters.modulus > 0).any()
    changing = meters.restarts_after != NEVER
    assert (changing & (meters.restarts_at == 0)).any()
    assert (changing & (meters.restarts_at > 0)).any()
    # A replacement could not be told from a rollover.
    assert not (changing & (meters.modulus > 0)).any()


def test_a_seed_repeats_a_world_and_another_does_not() -> None:
    one, same, other = (
        World.drawn(size=60, seed=seed, ticks=TICKS, registers=0.2) for seed in (7, 7, 8)
    )
    for field in fields(World):
        mine, again = getattr(one, field.name), getattr(same, field.name)
        if isinstance(mine, Counting):
            assert all(
                np.array_equal(getattr(mine, name), getattr(again, name))
                for name in Counting.__slots__
            )
        else:
            assert np.array_equal(mine, again)
    assert not np.array_equal(one.efficiency, other.efficiency)


def test_vehicles_take_turns_at_the_charger_they_share() -> None:
    world = World.drawn(size=400, seed=3, ticks=TICKS, registers=0.0)
    fleet = Fleet(size=400, seed=3, start_us=START_US, interval_us=MINUTE_US, world=world)
    firsts = world.sharing_firsts
    charged = np.zeros(400, dtype=bool)
    for _ in range(24 * 60):
        fleet.advance()
        charging = fleet.mode == Mode.CHARGING
        assert not (charging[firsts] & charging[firsts + 1]).any()
        charged |= charging
    assert charged[firsts].mean() > 0.7
    assert charged[firsts + 1].mean() > 0.7


@pytest.mark.parametrize(
    ("changed", "problem"),
    [({"duration_us": None}, "duration"), ({"interval_us": 5_000_000}, "interval")],
)
def test_a_world_without_end_or_with_too_short_intervals_is_refused(
    changed: dict[str, int | None], problem: str
) -> None:
    with pytest.raises(ValueError, match=problem):
        Load(plan_of(**changed))
