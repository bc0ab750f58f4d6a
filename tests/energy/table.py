"""The inputs with right answers of the page on energy, for whatever counts them."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from decimal import Decimal
from fractions import Fraction
from math import floor

from tests.energy.slow_world import (
    HOUR,
    KWH,
    MINUTE,
    SECOND,
    Device,
    Facts,
    Reading,
    Stay,
    World,
)

T0 = 1_780_308_000 * SECOND  # 2026-06-01 10:00 UTC
OCTOBER = 1_790_805_600 * SECOND  # 2026-10-01 00:00 in Paris
METER, CAR, OTHER_CAR = "M", "V", "W"
INTERVAL, REGISTER = Facts(), Facts(register=True)


@dataclass(frozen=True, kw_only=True)
class Row:
    """One input, and what is right of its answer; None for what the page does not say."""

    name: str
    world: World
    ac: float
    vehicle: str = CAR
    start: int = T0
    end: int = T0 + 2 * HOUR
    dc: float | None = None
    ratio: float | None = None
    status: str | None = None
    ac_coverage: Fraction | None = None
    dc_coverage: Fraction | None = None
    reasons: frozenset[str] = frozenset()
    within: float = 1e-9


def kwh(value: str | float) -> int:
    """Return a decimal number of kilowatt-hours in nanokilowatt-hours."""
    return int(Decimal(str(value)) * KWH)


def each_minute(value: Callable[[int], str | float], count: range) -> tuple[Reading, ...]:
    """Return a reading a minute after T0."""
    return tuple(Reading(T0 + i * MINUTE, kwh(value(i))) for i in count)


def pair(
    meter: Iterable[Reading],
    *facts: Facts,
    car: Iterable[Reading] | None = None,
    car_facts: Facts = INTERVAL,
) -> World:
    """Return a vehicle that is assigned to a meter; it counts 0.108 kWh a minute."""
    if car is None:
        car = each_minute(lambda _: "0.108", range(1, 121))
    return World(
        meters=(Device(METER, facts, tuple(meter)),),
        vehicles=(Device(CAR, (car_facts,), tuple(car)),),
        assignments=(Stay(METER, CAR, T0 - 30 * 24 * HOUR),),
    )


def rated(kw: float, facts: Facts = REGISTER) -> Facts:
    """Return the facts with a capacity."""
    return replace(facts, capacity_kw=Fraction(str(kw)))


def register_with(start: str, different: dict[int, str]) -> tuple[Reading, ...]:
    """Return a register that rises 0.12 kWh a minute, but stands elsewhere at some minutes."""

    def value(i: int) -> str:
        return different.get(i) or str(Decimal(start) + Decimal("0.12") * i)

    return each_minute(value, range(121))


def _steps_of_a_tenth() -> Row:
    def readings(kw: str) -> Iterable[Reading]:
        for i in range(241):
            counted = Fraction("4711.03") + Fraction(kw) * i * 15 / 3600
            yield Reading(T0 + i * 15 * SECOND, floor(counted * 10) * KWH // 10)

    car = each_minute(lambda _: "0.108", range(1, 61))
    return Row(
        name="steps of a tenth, read every 15 s",
        world=pair(readings("7.2"), rated(7.2, replace(REGISTER, interval=15 * SECOND)), car=car),
        end=T0 + HOUR,
        ac=7.2,
        ratio=0.9,
        status="optimal",
    )


def _quarter_hours() -> Iterable[Row]:
    sessions = (
        Stay(METER, CAR, T0, T0 + 65 * MINUTE),
        Stay(METER, OTHER_CAR, T0 + 70 * MINUTE, T0 + 100 * MINUTE),
    )

    def counted(quarter: int) -> int:
        charged = sum(0 <= i < 65 or 70 <= i < 100 for i in range(15 * quarter - 15, 15 * quarter))
        return floor(Fraction(10 * KWH, 60) * charged + Fraction(1, 2))

    def car(name: str, session: Stay) -> Device:
        minutes = range((session.start - T0) // MINUTE + 1, (session.end - T0) // MINUTE + 1)
        return Device(name, (INTERVAL,), each_minute(lambda _: "0.15", minutes))

    world = World(
        meters=(
            Device(
                METER,
                (replace(INTERVAL, interval=900 * SECOND),),
                tuple(Reading(T0 + 15 * q * MINUTE, counted(q)) for q in range(1, 9)),
            ),
        ),
        vehicles=(car(CAR, sessions[0]), car(OTHER_CAR, sessions[1])),
        sessions=sessions,
    )
    for name, session, ac in ((CAR, sessions[0], 10 * 65 / 60), (OTHER_CAR, sessions[1], 5.0)):
        yield Row(
            name=f"quarter hours, shared by the sessions: {name}",
            world=world,
            vehicle=name,
            start=session.start,
            end=session.end,
            ac=ac,
            ratio=0.9,
            status="optimal",
            within=1e-8,
        )


def _silent_days() -> Row:
    before = (Reading(T0 - 72 * HOUR, kwh(500)),)
    after = each_minute(lambda i: str(560 + Decimal("0.012") * i), range(30, 1441))
    return Row(
        name="three silent days before",
        world=pair(before + after, REGISTER),
        end=T0 + 24 * HOUR,
        ac=60.36 * 0.5 / 72.5 + 0.012 * 1410,
        ac_coverage=Fraction(47, 48),
        within=1e-6,
    )


def _copies() -> Row:
    ends = [T0 + i * MINUTE for i in range(121)]
    meter = [Reading(end - ago, kwh("0.12")) for end in ends for ago in (SECOND, 0)]
    return Row(
        name="each message twice, a second apart",
        world=pair(meter, INTERVAL),
        ac=28.8,
        reasons=frozenset({"overlapping_readings"}),
    )


def _only_while_charging() -> Row:
    session = Stay(METER, CAR, T0, T0 + 3 * HOUR)
    car = each_minute(lambda _: "0.1", range(1, 181))
    world = pair(
        each_minute(lambda i: "0.12" if i <= 180 else "0", range(1, 1441)),
        INTERVAL,
        car=car,
        car_facts=replace(INTERVAL, only_while_charging=True),
    )
    return Row(
        name="a vehicle that reports only while it charges",
        world=replace(world, sessions=(session,)),
        end=T0 + 24 * HOUR,
        ac=21.6,
        dc=18.0,
        ratio=18 / 21.6,
        status="degraded",
        dc_coverage=Fraction(1),
    )


def _october() -> Row:
    hourly = replace(INTERVAL, interval=HOUR)
    ends = [OCTOBER + i * HOUR for i in range(1, 746)]
    world = pair(
        [Reading(end, kwh(2)) for end in ends],
        hourly,
        car=[Reading(end, kwh("1.8")) for end in ends],
        car_facts=hourly,
    )
    return Row(
        name="October in Europe, of 745 hours",
        world=replace(world, assignments=(Stay(METER, CAR, OCTOBER - HOUR, OCTOBER + 800 * HOUR),)),
        start=OCTOBER,
        end=OCTOBER + 745 * HOUR,
        ac=1490.0,
        ratio=0.9,
        status="optimal",
    )


_TOTALS = ("109552.248", "109554.016", "109554.016", "109562.072")
_DIPS = {
    value: register_with("5688.566", {60: value, 61: value}) for value in ("5213.928", "0.000")
}

ROWS = [
    Row(
        name="whole kilowatt-hours",
        world=pair(
            each_minute(lambda i: floor(Decimal("53740.3") + Decimal("0.12") * i), range(121)),
            rated(11),
        ),
        ac=14,
        ratio=12.96 / 14,
        status="optimal",
        ac_coverage=Fraction(1),
    ),
    _steps_of_a_tenth(),
    Row(
        name="a total that changes once an hour",
        world=pair(
            each_minute(lambda i: _TOTALS[i // 60], range(181)),
            rated(22),
            car=each_minute(lambda _: "0.04912", range(1, 181)),
        ),
        end=T0 + 3 * HOUR,
        ac=9.824,
        ratio=0.9,
        status="optimal",
    ),
    *(
        Row(
            name=f"a dip to {value} for two samples",
            world=pair(readings, REGISTER, car=readings, car_facts=REGISTER),
            ac=14.4,
            dc=14.4,
        )
        for value, readings in _DIPS.items()
    ),
    Row(
        name="a single value 0.32 lower",
        world=pair(
            register_with(
                "4876", {31: str(Decimal(4876) + Decimal("0.12") * 31 - Decimal("0.32"))}
            ),
            REGISTER,
        ),
        end=T0 + HOUR,
        ac=7.2,
    ),
    Row(
        name="a step down",
        world=pair(
            register_with(
                "5688", {i: str(120 + Decimal("0.12") * (i - 60)) for i in range(60, 121)}
            ),
            REGISTER,
        ),
        ac=0.12 * 119,
        reasons=frozenset({"register_fell"}),
    ),
    Row(
        name="a session counter",
        world=pair(
            each_minute(
                lambda i: round(min(5, i * 11 / 60) if i < 60 else min(6, (i - 60) * 11 / 60), 3),
                range(121),
            ),
            rated(11),
        ),
        ac=11,
    ),
    Row(
        name="one reading far above the others",
        world=pair(register_with("100", {60: "100106.2"}), REGISTER),
        ac=14.4,
    ),
    *_quarter_hours(),
    _silent_days(),
    Row(
        name="watt-hours taken for kilowatt-hours",
        world=pair(
            each_minute(lambda i: "0.12" if i <= 60 else "120", range(1, 121)),
            rated(11, INTERVAL),
        ),
        ac=7.2,
        reasons=frozenset({"implausible_reading"}),
    ),
    _copies(),
    Row(
        name="an interval meter that becomes a register",
        world=pair(
            each_minute(lambda _: "0.12", range(1, 121)),
            INTERVAL,
            Facts(since=T0 + 2 * HOUR + 1, register=True),
        ),
        ac=14.4,
        ratio=0.9,
        status="optimal",
    ),
    _only_while_charging(),
    Row(
        name="a reading of 1000 kWh that was deleted",
        world=pair(each_minute(lambda _: "0.12", range(1, 121)), INTERVAL),
        ac=14.4,
        ratio=0.9,
        status="optimal",
    ),
    _october(),
]
