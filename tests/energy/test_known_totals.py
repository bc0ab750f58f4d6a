"""An energy is null if nothing is known of it, and only then."""

from hypothesis import given, settings

from energy.bonds import Bonds
from energy.charged import Charged
from energy.performance import performance
from tests.energy.generated import windows, worlds
from tests.energy.pure import bond_of, history
from tests.energy.slow import vehicle_answer
from tests.energy.slow_world import HOUR, MINUTE, Reading, World
from tests.energy.table import CAR, REGISTER, T0, kwh, pair


def test_a_counter_that_stood_still_in_a_long_gap_gained_nothing_and_that_is_known() -> None:
    still = [Reading(T0 + minute * MINUTE, kwh(108)) for minute in (30, 90)]
    world = pair(still, REGISTER)
    assert _totals(world, T0, T0 + 2 * HOUR)[CAR][0] == 0
    # An edge cuts the gap, so that it may lie in the other part.
    assert _totals(world, T0, T0 + HOUR)[CAR][0] is None


@settings(max_examples=60)
@given(worlds(), windows())
def test_a_total_is_null_where_the_references_is(world: World, window: tuple[int, int]) -> None:
    totals = _totals(world, *window)
    for name, said in totals.items():
        expected = vehicle_answer(world, name, *window)
        assert said == (expected.ac.energy, expected.dc.energy)


def _totals(world: World, start: int, end: int) -> dict[str, tuple[int | None, int | None]]:
    names = [car.name for car in world.vehicles]
    bonds = Bonds(map(bond_of, world.assignments), map(bond_of, world.sessions))
    meters = sorted({meter for name in names for meter in bonds.meters_of(name)})
    found = performance(
        history(world, names, start, end),
        history(world, meters, start, end),
        Charged.of(names, meters, bonds, start, end),
        start,
        end,
    )
    return {
        name: (found.ac.known_total(place), found.dc.known_total(place))
        for place, name in enumerate(names)
    }
