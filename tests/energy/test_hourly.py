"""What is kept by the hour adds up to the answer, whatever window of whole hours is asked."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from energy.bonds import Bonds
from energy.charged import Charged
from energy.hourly import Hourly
from energy.performance import hours, performance
from energy.units import HOUR_US
from tests.energy.generated import worlds
from tests.energy.pure import bond_of, history
from tests.energy.slow_world import HOUR, World
from tests.energy.table import T0

FIRST, HOURS, LONG_BEFORE = T0 - 2 * HOUR, 12, T0 - 400 * 24 * HOUR


@settings(max_examples=60)
@given(worlds(), st.integers(0, HOURS - 1), st.integers(1, HOURS))
def test_kept_hours_add_up_to_the_answer(world: World, begin: int, length: int) -> None:
    last = FIRST + HOURS * HOUR
    names = [car.name for car in world.vehicles]
    bonds = Bonds(map(bond_of, world.assignments), map(bond_of, world.sessions))
    meters = sorted({meter for name in names for meter in bonds.meters_of(name)})
    kept = Hourly.of(
        history(world, names, FIRST, last),
        history(world, meters, FIRST, last),
        Charged.of(names, meters, bonds, LONG_BEFORE, last).parts,
        hours(FIRST, last),
    )
    start, end = FIRST + begin * HOUR, min(FIRST + (begin + length) * HOUR, last)
    asked = performance(
        history(world, names, start, end),
        history(world, meters, start, end),
        Charged.of(names, meters, bonds, start, end),
        start,
        end,
    )
    within = slice(begin, (end - FIRST) // HOUR_US)
    for is_ac, side in ((True, asked.ac), (False, asked.dc)):
        energy, known = (kept.ac, kept.ac_known_us) if is_ac else (kept.dc, kept.dc_known_us)
        np.testing.assert_array_equal(energy[:, within], side.energy)
        total = known[:, within].sum(axis=1)
        for gap in kept.gaps:
            if gap.is_ac == is_ac and start <= gap.start and gap.end <= end:
                total[gap.owner] += gap.length_us
        np.testing.assert_array_equal(total, side.known_us)
