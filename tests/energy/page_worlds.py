"""The devices of the table in docs/energy.md, and what is asked about them.

Unless said otherwise the meter counts 0.12 kWh a minute and the vehicle 0.108, for two hours.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from math import floor

from tests.energy.slow_world import (
    HOUR,
    KWH,
    MINUTE,
    Facts,
    Reading,
    Stay,
    World,
)
from tests.energy.table import (
    CAR,
    INTERVAL,
    METER,
    OTHER_CAR,
    REGISTER,
    ROWS,
    T0,
    each_minute,
    kwh,
    pair,
    rated,
)

MINUTES = range(121)
QUARTERS = "quarter hours, shared by the sessions"


@dataclass(frozen=True)
class Case:
    """A device, and the window and vehicle that are asked about."""

    world: World
    end: int = T0 + 2 * HOUR
    start: int = T0
    vehicle: str = CAR


def _of_row(name: str, *, car: Iterable[Reading] | None = None) -> Case:
    """Return an input with a right answer; `car`: what its vehicle sends instead."""
    [row] = [row for row in ROWS if row.name == name]
    world = row.world
    if car is not None:
        world = replace(world, vehicles=(replace(world.vehicles[0], readings=tuple(car)),))
    return Case(world, row.end, row.start, row.vehicle)


def _counter(
    start: str,
    *,
    until: int = 120,
    different: Callable[[int, Decimal], Decimal] = lambda _, counted: counted,
) -> tuple[Reading, ...]:
    """Return a counter that rises 0.12 kWh a minute and shows something else at some."""

    def value(i: int) -> str:
        return str(different(i, Decimal(start) + Decimal("0.12") * i))

    return each_minute(value, range(until + 1))


def _lower(minutes: Iterable[int], by: str) -> Callable[[int, Decimal], Decimal]:
    return lambda i, counted: counted - Decimal(by) if i in minutes else counted


def _beginning_at(minute: int, value: str) -> Callable[[int, Decimal], Decimal]:
    """Return what a counter shows that is another one from a minute on."""
    return lambda i, counted: (
        counted if i < minute else Decimal(value) + Decimal("0.12") * (i - minute)
    )


def _rolling_over(facts: Facts) -> Case:
    readings = _counter("99993", different=lambda _, counted: counted % 100_000)
    return Case(pair(readings, facts))


def _silent(readings: Iterable[Reading]) -> list[Reading]:
    """Leave out half an hour."""
    return [one for one in readings if not T0 + 30 * MINUTE < one.at <= T0 + 60 * MINUTE]


def _sharing(*sessions: Stay) -> Case:
    """Let two vehicles be assigned to one meter; they charge one after the other."""
    world = pair(each_minute(lambda _: "0.12", range(1, 121)), INTERVAL)
    half = each_minute(lambda i: "0.108" if i <= 60 else "0", range(1, 121))
    [own] = world.vehicles
    [assigned] = world.assignments
    return Case(
        replace(
            world,
            vehicles=(replace(own, readings=half), replace(own, name=OTHER_CAR, readings=())),
            assignments=(assigned, replace(assigned, vehicle=OTHER_CAR)),
            sessions=sessions,
        )
    )


def _reporting(*, only_while_charging: bool) -> Case:
    case = _of_row("a vehicle that reports only while it charges")
    facts = replace(INTERVAL, only_while_charging=only_while_charging)
    return replace(
        case,
        world=replace(case.world, vehicles=(replace(case.world.vehicles[0], facts=(facts,)),)),
    )


_WHOLE = each_minute(lambda i: floor(Decimal("53740.3") + Decimal("0.12") * i), MINUTES)
_MINUTES = each_minute(lambda _: "0.12", range(1, 121))
_OFTEN = [Reading(T0 + i * MINUTE, kwh("0.0108")) for i in range(1, 1441)]
_TEN_MORE = _counter("5688", different=_lower((60,), "-10"))
_TEN_FOR_GOOD = _counter("5688", different=_lower(range(60, 121), "-10"))
_SWAPPED = _counter("5688", different=_beginning_at(60, "120"))

CASES: Mapping[str, Case] = {
    "an interval meter, a reading a minute": Case(pair(_MINUTES, INTERVAL)),
    "a counter, a reading a minute": Case(pair(_counter("5688"), REGISTER)),
    "a counter of whole kWh, 11 kW": Case(pair(_WHOLE, rated(11))),
    "a counter of tenths, read every 15 s, 7.2 kW, one hour": _of_row(
        "steps of a tenth, read every 15 s"
    ),
    "a total that changes once an hour, 22 kW, three hours": _of_row(
        "a total that changes once an hour"
    ),
    "a counter that is registered as `interval`": Case(pair(_counter("5688"), INTERVAL)),
    "a counter that shows 0 for two minutes": Case(
        pair(
            _counter("5688", different=lambda i, counted: Decimal(0) if i in (60, 61) else counted),
            REGISTER,
        )
    ),
    "a counter that sags by 0.32 kWh for a minute": Case(
        pair(_counter("4876", different=_lower((31,), "0.32")), REGISTER)
    ),
    "a counter that is set back by 20 kWh for good": Case(
        pair(_counter("4876", different=_lower(range(60, 121), "20")), REGISTER)
    ),
    "a counter that shows 99,999 kWh more for a minute": Case(
        pair(_counter("100", different=_lower((60,), "-99999")), REGISTER)
    ),
    "10 kWh more for a minute, 11 kW": Case(pair(_TEN_MORE, rated(11))),
    "10 kWh more for a minute, no rating": Case(pair(_TEN_MORE, REGISTER)),
    "10 kWh more from then on, 11 kW": Case(pair(_TEN_FOR_GOOD, rated(11))),
    "10 kWh more from then on, no rating": Case(pair(_TEN_FOR_GOOD, REGISTER)),
    "another counter in its place, which shows 0": Case(
        pair(_counter("5688", different=_beginning_at(60, "0")), REGISTER)
    ),
    "another counter in its place, which shows 120": Case(pair(_SWAPPED, REGISTER)),
    "the same, five minutes after it was put there": Case(
        replace(
            pair(_counter("5688", until=65, different=_beginning_at(60, "120")), REGISTER),
            as_of=T0 + 65 * MINUTE,
        ),
        T0 + 65 * MINUTE,
    ),
    "a counter that begins again at 100,000, with `registerModulusKwh`": _rolling_over(
        replace(rated(11), modulus=100_000 * KWH)
    ),
    "a counter that begins again at 100,000, without it": _rolling_over(rated(11)),
    "a session counter: 0 to 5, then 0 to 6 kWh, 11 kW": _of_row(
        "a session counter", car=each_minute(lambda _: "0.0825", range(1, 121))
    ),
    "a quarter-hour meter, the first of two charges": _of_row(f"{QUARTERS}: {CAR}"),
    "a quarter-hour meter, the second": _of_row(f"{QUARTERS}: {OTHER_CAR}"),
    "Wh for kWh in the second hour, 11 kW": _of_row("watt-hours taken for kilowatt-hours"),
    "each message twice, a second apart": _of_row("each message twice, a second apart"),
    "an interval meter that is silent for half an hour": Case(pair(_silent(_MINUTES), INTERVAL)),
    "a counter that is silent for half an hour": Case(pair(_silent(_counter("5688")), REGISTER)),
    "a counter after three silent days, 24 hours": _of_row("three silent days before", car=_OFTEN),
    "a vehicle that reports only while it charges, 24 hours": _reporting(only_while_charging=True),
    "the same without `reportsOnlyWhileCharging`": _reporting(only_while_charging=False),
    "two vehicles on one meter, no session": _sharing(),
    "two vehicles on one meter, each with its session": _sharing(
        Stay(METER, CAR, T0, T0 + HOUR), Stay(METER, OTHER_CAR, T0 + HOUR, T0 + 2 * HOUR)
    ),
}
