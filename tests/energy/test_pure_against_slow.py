"""The product's arithmetic answers what the slow reference answers, of devices as they are."""

from hypothesis import given, settings
from hypothesis import strategies as st

from energy.worth import Doubt
from tests.energy.generated import devices, windows, worlds
from tests.energy.pure import Said, ask, ask_of_meter, history
from tests.energy.slow import Answer, vehicle_answer
from tests.energy.slow_world import EVER, HOUR, MINUTE, Device, World
from tests.energy.slow_worth import worths
from tests.energy.table import T0


def said(answer: Answer) -> Said:
    """Return an answer of the slow reference in plain numbers."""
    ac, dc = answer.ac, answer.dc
    return Said(
        [hour.ac.energy for hour in answer.hours],
        [hour.dc.energy for hour in answer.hours],
        (ac.known, dc.known),
        (ac.whole, dc.whole),
        (ac.readings, dc.readings),
        answer.status,
        answer.reasons,
    )


@settings(max_examples=60)
@given(devices("M"), st.sampled_from((EVER, T0 + HOUR, T0 + 200 * MINUTE)))
def test_each_reading_is_worth_the_same(device: Device, as_of: int) -> None:
    """The reason is that of the reading itself, and does not depend on what is asked."""
    asked = World((device,), as_of=as_of)
    worth = history(asked, ["M"], 0, 1).worth
    shift = history(asked, ["M"], 0, 1).line.shift[0]
    product = [
        (int(at), int(since), int(energy), Doubt(int(doubts)))
        for at, since, energy, doubts in zip(
            worth.at - shift, worth.since - shift, worth.energy, worth.doubts, strict=True
        )
    ]
    slow = [
        (
            one.at,
            one.start,
            one.energy,
            (Doubt[one.reason.upper()] if one.reason else Doubt.NONE)
            | (Doubt.OVERLAPPING if one.overlaps else Doubt.NONE),
        )
        for one in worths(device, as_of)
    ]
    assert product == slow


@settings(max_examples=60)
@given(worlds(), windows())
def test_vehicles_asked_at_once_answer_what_each_would(
    world: World, window: tuple[int, int]
) -> None:
    answers = ask(world, *window)
    for vehicle in world.vehicles:
        assert answers[vehicle.name] == said(vehicle_answer(world, vehicle.name, *window))


@settings(max_examples=60)
@given(worlds(), windows())
def test_all_that_a_meter_drew_can_be_asked_for(world: World, window: tuple[int, int]) -> None:
    vehicle, meter = world.vehicles[0].name, world.meters[0].name
    expected = said(vehicle_answer(world, vehicle, *window, meter=meter))
    assert ask_of_meter(world, vehicle, meter, *window) == expected
