"""What a meter answers of itself is what the slow reference answers."""

from hypothesis import given, settings

from energy.bonds import Bonds
from energy.performance import MeterPerformance, meter_performance
from energy.served import Served
from tests.energy.generated import windows, worlds
from tests.energy.pure import bond_of, history
from tests.energy.slow import Answer, meter_answer
from tests.energy.slow_world import World


@settings(max_examples=60)
@given(worlds(), windows())
def test_a_meter_answers_what_the_reference_does(world: World, window: tuple[int, int]) -> None:
    for meter in world.meters:
        served, found = _ask(world, meter.name, *window)
        expected = meter_answer(world, meter.name, *window)
        assert _said(served, found) == _expected(expected)
        assert found.ac.known_by_hour() == [hour.ac.energy for hour in expected.hours]
        assert found.dc.known_by_hour() == [hour.dc.energy for hour in expected.hours]


def _ask(world: World, meter: str, start: int, end: int) -> tuple[Served, MeterPerformance]:
    bonds = Bonds(map(bond_of, world.assignments), map(bond_of, world.sessions))
    served = Served.of(meter, bonds, start, end)
    drawn = history(world, [meter], start, end)
    delivered = history(world, served.vehicles, start, end)
    return served, meter_performance(drawn, delivered, served, start, end)


def _said(served: Served, found: MeterPerformance) -> tuple[object, ...]:
    return (
        {
            vehicle: (found.shares.known_total(place), found.dc.known_total(place))
            for place, vehicle in enumerate(served.vehicles)
        },
        (found.ac.known_total(0), found.dc.known_sum()),
        (int(found.ac.known_us.sum()), int(found.dc.known_us.sum())),
        (int(found.ac.asked_us.sum()), int(found.dc.asked_us.sum())),
        (int(found.ac.readings.sum()), int(found.dc.readings.sum())),
        {str(reason) for reason in found.reasons},
    )


def _expected(answer: Answer) -> tuple[object, ...]:
    ac, dc = answer.ac, answer.dc
    return (
        answer.served,
        (ac.energy, dc.energy),
        (ac.known, dc.known),
        (ac.whole, dc.whole),
        (ac.readings, dc.readings),
        answer.reasons,
    )
