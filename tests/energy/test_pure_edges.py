"""Each rule at its edge: the slow reference and the product agree with what is written here."""

from dataclasses import dataclass, replace
from fractions import Fraction

import pytest

from energy.worth import Doubt
from tests.energy.pure import ask, history
from tests.energy.slow import vehicle_answer
from tests.energy.slow_world import EVER, HOUR, KWH, MINUTE, Device, Facts, Reading, Stay, World
from tests.energy.slow_worth import worths
from tests.energy.table import CAR, INTERVAL, REGISTER, T0, kwh, pair, rated

TEN_KW = rated(10)
SECOND_IN_MINUTES = Fraction(1, 60)


@dataclass(frozen=True)
class Edge:
    """A device's readings, (minute, kWh), and what each is worth: kWh, or a reason for nothing."""

    name: str
    facts: Facts | tuple[Facts, ...]
    readings: tuple[tuple[float | Fraction, str], ...]
    worth: tuple[str, ...]
    as_of: int | Fraction | None = None


EDGES = [
    Edge("possible, and a step more", TEN_KW, ((0, "0"), (60, "12")), ("0", "12")),
    Edge("a hair more", TEN_KW, ((0, "0"), (60, "12.000000001")), ("0", "implausible_jump")),
    Edge(
        "since the last that showed less",
        TEN_KW,
        ((0, "0"), (30, "5"), (60, "5"), (90, "16")),
        ("0", "5", "0", "11"),
    ),
    Edge(
        "no step more since that",
        TEN_KW,
        ((0, "0"), (30, "5"), (60, "16.5")),
        ("0", "5", "implausible_jump"),
    ),
    Edge(
        "since the baseline was first shown",
        TEN_KW,
        ((0, "5"), (30, "5"), (60, "5"), (61, "16")),
        ("0", "0", "0", "11"),
    ),
    Edge(
        "since a new baseline was first shown",
        TEN_KW,
        ((0, "0"), (30, "5"), (31, "500"), (61, "500"), (91, "511.9")),
        ("0", "5", "implausible_jump", "0", "11.9"),
    ),
    Edge(
        "a new baseline forgets what was lower",
        TEN_KW,
        ((0, "0"), (30, "5"), (31, "500"), (41, "503.5")),
        ("0", "5", "implausible_jump", "implausible_jump"),
    ),
    Edge("jitter", REGISTER, ((0, "5"), (1, "4.9"), (2, "5.02")), ("0", "0", "0.02")),
    Edge("jitter that stays", REGISTER, ((0, "90"), (1, "89.9")), ("0", "0")),
    Edge("more than jitter", REGISTER, ((0, "90"), (1, "89.899999999")), ("0", "register_fell")),
    Edge(
        "jitter shows less",
        TEN_KW,
        ((0, "5"), (10, "4.95"), (20, "8")),
        ("0", "0", "implausible_jump"),
    ),
    Edge("95 %", REGISTER, ((0, "10"), (1, "9.5")), ("0", "register_fell")),
    Edge("below 95 %", REGISTER, ((0, "10"), (1, "9.499999999")), ("0", "9.499999999")),
    Edge("a reset to what is possible", TEN_KW, ((0, "9"), (60, "8")), ("0", "8")),
    Edge(
        "a reset to more", replace(TEN_KW, step=0), ((0, "90"), (60, "12")), ("0", "register_fell")
    ),
    Edge("a spike of an hour", REGISTER, ((0, "5"), (1, "500"), (61, "5.1")), ("0", "0", "0.1")),
    Edge(
        "a jump, after an hour and a second",
        REGISTER,
        ((0, "500"), (1, "5000"), (61 + SECOND_IN_MINUTES, "500.1")),
        ("0", "implausible_jump", "500.1"),
    ),
    Edge(
        "a spike that ends in a spike",
        REGISTER,
        ((0, "5"), (1, "5000"), (2, "6000")),
        ("0", "implausible_jump", "implausible_jump"),
    ),
    Edge(
        "no spike before a fall",
        REGISTER,
        ((0, "500"), (1, "5000"), (2, "200")),
        ("0", "implausible_jump", "register_fell"),
    ),
    Edge("settled", REGISTER, ((0, "90"), (1, "70")), ("0", "register_fell"), as_of=61),
    Edge(
        "a second before",
        REGISTER,
        ((0, "90"), (1, "70"), (2, "70.1")),
        ("0", "unsettled", "unsettled"),
        as_of=61 - SECOND_IN_MINUTES,
    ),
    Edge(
        "what follows is unsettled, even if it could be decided",
        replace(REGISTER, modulus=100 * KWH),
        ((0, "95"), (1, "5000"), (2, "0")),
        ("0", "unsettled", "unsettled"),
        as_of=3,
    ),
    Edge(
        "settled by a later reading",
        REGISTER,
        ((0, "90"), (1, "70"), (61, "70.1")),
        ("0", "register_fell", "0.1"),
        as_of=2,
    ),
    Edge(
        "a return settles a reset",
        TEN_KW,
        ((0, "5"), (1, "0"), (25, "5")),
        ("0", "0", "5"),
        as_of=25,
    ),
    Edge(
        "a return that is impossible since the last lower value",
        TEN_KW,
        ((0, "5"), (1, "0"), (10, "0.5"), (20, "0"), (21, "0.1"), (46, "5")),
        ("0",) * 6,
    ),
    Edge(
        "a dip is one, whatever lies within",
        REGISTER,
        ((0, "100"), (1, "60"), (2, "0.05"), (50, "100.2"), (51, "100.3")),
        ("0", "0", "0", "0.2", "0.1"),
    ),
    Edge(
        "no rollover that loses",
        replace(REGISTER, modulus=100 * KWH),
        ((0, "150"), (1, "20")),
        ("0", "register_fell"),
    ),
    Edge(
        "a rollover of what is possible",
        replace(TEN_KW, modulus=100 * KWH),
        ((0, "95"), (60, "7")),
        ("0", "12"),
    ),
    Edge(
        "a rollover of more",
        replace(TEN_KW, modulus=100 * KWH),
        ((0, "95"), (60, "7.1")),
        ("0", "7.1"),
    ),
    Edge(
        "facts hold from their date on",
        (INTERVAL, Facts(since=T0 + MINUTE, register=True), Facts(since=T0 + 3 * MINUTE)),
        ((0, "0.1"), (1, "7"), (2, "7.1"), (3, "0.2")),
        ("0.1", "0", "0.1", "0.2"),
    ),
    Edge(
        "a register begins again after a time as an interval meter",
        (REGISTER, Facts(since=T0 + MINUTE), Facts(since=T0 + 2 * MINUTE, register=True)),
        ((0, "7"), (1, "0.1"), (2, "7.5"), (3, "7.6")),
        ("0", "0.1", "0", "0.1"),
    ),
    Edge("an interval's most", rated(6, INTERVAL), ((0, "0.11"),), ("0.11",)),
    Edge("an interval's more", rated(6, INTERVAL), ((0, "0.110000001"),), ("implausible_reading",)),
]


@pytest.mark.parametrize("edge", EDGES, ids=lambda edge: edge.name)
def test_readings_at_the_edge_of_a_rule_are_worth_what_it_says(edge: Edge) -> None:
    facts = edge.facts if isinstance(edge.facts, tuple) else (edge.facts,)
    readings = tuple(Reading(_minute(at), kwh(value)) for at, value in edge.readings)
    as_of = EVER if edge.as_of is None else _minute(edge.as_of)
    device = Device("M", facts, readings)
    expected = [(kwh(said), None) if said[0].isdigit() else (0, said) for said in edge.worth]
    assert [(one.energy, one.reason) for one in worths(device, as_of)] == expected
    worth = history(World((device,), as_of=as_of), ["M"], T0, T0 + HOUR).worth
    product = zip(worth.energy.tolist(), worth.doubts.tolist(), strict=True)
    assert [
        (energy, str(Doubt(doubts).name).lower() if doubts else None) for energy, doubts in product
    ] == expected


def _minute(at: float | Fraction) -> int:
    return T0 + int(Fraction(at) * MINUTE)


@pytest.mark.parametrize(
    ("ac", "dc", "status"),
    [
        ("1", "1", "optimal"),
        ("1", "1.000000001", "implausible"),
        ("1", "0.85", "optimal"),
        ("1", "0.849999999", "degraded"),
        ("1", "0.75", "degraded"),
        ("1", "0.749999999", "critical"),
        ("0.1", "0.1", "optimal"),
        ("0.099999999", "0.05", "insufficient_data"),
    ],
)
def test_bands_are_half_open(ac: str, dc: str, status: str) -> None:
    hourly = replace(INTERVAL, interval=HOUR)
    ends = T0 + HOUR
    world = pair([Reading(ends, kwh(ac))], hourly, car=[Reading(ends, kwh(dc))], car_facts=hourly)
    assert ask(world, T0, ends)[CAR].status == status
    assert vehicle_answer(world, CAR, T0, ends).status == status


@pytest.mark.parametrize(
    ("sessions", "ac", "status", "reasons"),
    [
        ((), 0, "insufficient_data", {"shared_meter"}),
        ((Stay("M", CAR, T0, T0 + HOUR // 2),), KWH, "degraded", {"shared_meter"}),
        ((Stay("M", CAR, T0, T0 + HOUR),), 2 * KWH, "critical", set()),
        ((Stay("M", "W", T0, T0 + HOUR),), 0, "insufficient_data", set()),
    ],
)
def test_a_meter_of_several_vehicles_counts_for_the_one_in_a_session(
    sessions: tuple[Stay, ...], ac: int, status: str, reasons: set[str]
) -> None:
    ends = [T0 + i * HOUR // 2 for i in (1, 2)]
    half_hourly = replace(INTERVAL, interval=HOUR // 2)
    world = replace(
        pair(
            [Reading(end, KWH) for end in ends],
            half_hourly,
            car=[Reading(end, KWH * 4 // 10) for end in ends],
            car_facts=half_hourly,
        ),
        sessions=sessions,
    )
    world = replace(world, assignments=(*world.assignments, Stay("M", "W", T0 - HOUR)))
    said, slow = ask(world, T0, ends[1])[CAR], vehicle_answer(world, CAR, T0, ends[1])
    assert (sum(hour or 0 for hour in said.ac), said.status, said.reasons) == (ac, status, reasons)
    assert (slow.ac.energy or 0, slow.status, slow.reasons) == (ac, status, reasons)


@pytest.mark.parametrize(("minutes", "status"), [(30, "optimal"), (29, "insufficient_data")])
def test_half_of_the_coverage_is_enough(minutes: int, status: str) -> None:
    minutely = [Reading(T0 + i * MINUTE, KWH) for i in range(1, minutes + 1)]
    world = pair(minutely, INTERVAL, car=minutely)
    assert ask(world, T0, T0 + HOUR)[CAR].status == status
    assert vehicle_answer(world, CAR, T0, T0 + HOUR).status == status


@pytest.mark.parametrize(
    ("interval", "apart", "known"),
    [(1, 5, 10), (1, 6, 0), (15, 30, 10), (15, 31, 0)],
)
def test_a_short_gap_is_known_even_if_an_edge_cuts_it(
    interval: int, apart: int, known: int
) -> None:
    """Up to five minutes, or to twice the interval."""
    facts = replace(REGISTER, interval=interval * MINUTE)
    world = pair([Reading(T0, 0), Reading(T0 + apart * MINUTE, KWH)], facts)
    end = T0 + min(apart - 1, 10) * MINUTE
    expected = min(known, apart - 1) * MINUTE
    assert ask(world, T0, end)[CAR].known[0] == expected
    assert vehicle_answer(world, CAR, T0, end).ac.known == expected


@pytest.mark.parametrize(("minutes", "reasons"), [(5, set()), (6, {"implausible_jump"})])
def test_a_doubt_holds_for_all_of_a_readings_time(minutes: int, reasons: set[str]) -> None:
    """It is named before the reading was read, if what it was read for has begun."""
    readings = [Reading(T0, 0), Reading(T0 + 5 * MINUTE, 0), Reading(T0 + 10 * MINUTE, 999 * KWH)]
    world, end = pair(readings, REGISTER), T0 + minutes * MINUTE
    assert ask(world, T0, end)[CAR].reasons == reasons
    assert vehicle_answer(world, CAR, T0, end).reasons == reasons


@pytest.mark.parametrize(("copies", "reasons"), [(1, set()), (2, {"overlapping_readings"})])
def test_one_in_a_hundred_readings_may_overlap(copies: int, reasons: set[str]) -> None:
    ends = [T0 + i * MINUTE for i in range(1, 101 - copies)]
    ends += [end + MINUTE // 60 for end in ends[-copies:]]
    world = pair([Reading(end, KWH // 10) for end in ends], INTERVAL)
    assert ask(world, T0, T0 + 2 * HOUR)[CAR].reasons == reasons
    assert vehicle_answer(world, CAR, T0, T0 + 2 * HOUR).reasons == reasons


@pytest.mark.parametrize(("apart", "reasons"), [(30, set()), (29, {"overlapping_readings"})])
def test_half_of_an_interval_may_overlap(apart: int, reasons: set[str]) -> None:
    readings = [Reading(T0 + i * apart * MINUTE // 60, KWH // 10) for i in range(1, 61)]
    world = pair(readings, INTERVAL)
    assert ask(world, T0, T0 + HOUR)[CAR].reasons == reasons
    assert vehicle_answer(world, CAR, T0, T0 + HOUR).reasons == reasons
