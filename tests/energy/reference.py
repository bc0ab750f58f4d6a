"""What an answer has to be: slow and obvious, one reading after the other, in exact fractions.

Written from the rules in docs/energy.md and not from the functions in schema/: it steps through
every microsecond that matters, and the SQL works on sets.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import pairwise

HOUR_US = 3_600_000_000
JITTER_KWH = Fraction(1, 10)
LEAST_AC_KWH = Fraction(1, 10)
ALLOWANCE = Fraction(11, 10)
FOREVER = 2**62


@dataclass(frozen=True, slots=True)
class Reading:
    """At microseconds since 1970; a decimal, so that it is what was meant."""

    at: int
    kwh: Fraction
    temperature: float | None = 0.0


@dataclass(slots=True)
class Device:
    kind: str = "interval"
    interval_us: int = 60_000_000
    rated_kw: Fraction | None = None
    modulus: Fraction | None = None
    readings: list[Reading] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Bond:
    """A vehicle is assigned to a meter, or charges from it, while start < t <= end."""

    vehicle: str
    meter: str
    start: int
    end: int = FOREVER


@dataclass(slots=True)
class World:
    meters: dict[str, Device] = field(default_factory=dict)
    vehicles: dict[str, Device] = field(default_factory=dict)
    assignments: list[Bond] = field(default_factory=list)
    sessions: list[Bond] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Hour:
    start: int
    end: int
    ac: Fraction
    dc: Fraction
    temperature: float | None
    readings: int


@dataclass(frozen=True, slots=True)
class Answer:
    ac: Fraction
    dc: Fraction
    ratio: Fraction | None
    status: str
    vehicle_readings: int
    meter_readings: int
    vehicle_coverage: Fraction
    meter_coverage: Fraction
    reasons: set[str]
    sessions: int
    hours: list[Hour]


def performance(
    world: World, vehicle: str, start: int, end: int, meter: str | None = None
) -> Answer:
    """Return how the vehicle performed in start < t <= end; `meter` stands in for its own."""
    own = world.vehicles.get(vehicle, Device())
    taken = _worth(own, start, end)
    mine: list[tuple[int, Fraction]] = []
    owned: list[tuple[Device, str, int, int]] = []
    reasons: set[str] = set()
    bonds = [*world.assignments, *world.sessions]
    concerned = [bond for bond in bonds if bond.vehicle == vehicle and _overlaps(bond, start, end)]
    names = sorted({bond.meter for bond in concerned}) if meter is None else [meter]
    for name in names:
        device = world.meters.get(name, Device())
        for first, last in _spans(world, name, start, end):
            holder = vehicle if meter is not None else _holder(world, name, last)
            if holder == vehicle:
                owned.append((device, name, first, last))
            elif holder is None and _is_assigned(world, vehicle, name, last):
                reasons.add("shared_meter")
    owned = _joined(owned)
    for device, _, first, last in owned:
        for at, kwh, is_implausible in _worth(device, start, end):
            if first < at <= last:
                mine.append((at, kwh))
                if is_implausible:
                    reasons.add("implausible_jump")
    if any(is_implausible for *_, is_implausible in taken):
        reasons.add("implausible_jump")
    ac = sum((kwh for _, kwh in mine), Fraction())
    dc = sum((kwh for _, kwh, _ in taken), Fraction())
    length = sum(last - first for *_, first, last in owned)
    known = sum(_known(device, start, first, last) for device, _, first, last in owned)
    vehicle_coverage = Fraction(_known(own, start, start, end), end - start)
    meter_coverage = Fraction(known, length) if length else Fraction()
    return Answer(
        ac=ac,
        dc=dc,
        ratio=dc / ac if ac else None,
        status=_status(ac, dc, min(vehicle_coverage, meter_coverage), has_meter=bool(names)),
        vehicle_readings=len(taken),
        meter_readings=len(mine),
        vehicle_coverage=vehicle_coverage,
        meter_coverage=meter_coverage,
        reasons=reasons,
        sessions=sum(b.vehicle == vehicle and _overlaps(b, start, end) for b in world.sessions),
        hours=list(_hours(own, mine, taken, start, end)),
    )


def _worth(device: Device, start: int, end: int) -> list[tuple[int, Fraction, bool]]:
    """Return (time, kWh, implausible) of each reading in the window."""
    readings = sorted(device.readings, key=lambda one: one.at)
    inside = [one for one in readings if start < one.at <= end]
    if device.kind == "interval":
        return [(one.at, one.kwh, False) for one in inside]
    before = [one for one in readings if one.at <= start]
    worth = []
    if before:
        baseline, read_at = before[-1].kwh, before[-1].at
    for one in inside:
        if not before and one is inside[0]:
            gained, is_implausible, baseline = Fraction(), False, one.kwh
        else:
            hours = Fraction(one.at - read_at, HOUR_US)
            possible = None if device.rated_kw is None else device.rated_kw * hours * ALLOWANCE
            gained, is_implausible, baseline = _gain(device, baseline, one.kwh, possible)
        read_at = one.at
        worth.append((one.at, gained, is_implausible))
    return worth


def _gain(
    device: Device, baseline: Fraction, value: Fraction, possible: Fraction | None
) -> tuple[Fraction, bool, Fraction]:
    """Return what the register gained, whether that cannot be, and its next baseline."""
    if value < baseline and baseline - value <= JITTER_KWH:
        return Fraction(), False, baseline
    gained = value - baseline
    if gained < 0:
        gained = value
        if device.modulus is not None:
            rolled = value + device.modulus - baseline
            rolls = value < device.modulus / 10 if possible is None else rolled <= possible
            if rolls and rolled >= 0:
                gained = rolled
    if possible is not None and gained > possible:
        return Fraction(), True, value
    return gained, False, value


def _known(device: Device, window_start: int, first: int, last: int) -> int:
    """Return the microseconds of first < t <= last of which something is known."""
    inside = sorted(one.at for one in device.readings if first < one.at <= last)
    if not inside:
        return 0
    if device.kind == "register":
        # In the middle of a window, its earlier readings are known too; before it, the baseline.
        earlier = [one.at for one in device.readings if one.at <= first]
        return inside[-1] - (first if earlier else inside[0])
    known, until = 0, first
    for at in inside:
        known += at - max(until, at - device.interval_us)
        until = at
    return known


def _spans(world: World, meter: str, start: int, end: int) -> list[tuple[int, int]]:
    """Cut the window wherever something begins or ends for the meter."""
    bonds = [bond for bond in [*world.assignments, *world.sessions] if bond.meter == meter]
    cuts = {start, end} | {at for bond in bonds for at in (bond.start, bond.end)}
    inside = sorted(at for at in cuts if start <= at <= end)
    return list(pairwise(inside))


def _holder(world: World, meter: str, at: int) -> str | None:
    """Return whose the energy is that the meter reads at this instant."""
    for session in world.sessions:
        if session.meter == meter and session.start < at <= session.end:
            return session.vehicle
    assigned = {
        bond.vehicle
        for bond in world.assignments
        if bond.meter == meter and bond.start < at <= bond.end
    }
    return assigned.pop() if len(assigned) == 1 else None


def _is_assigned(world: World, vehicle: str, meter: str, at: int) -> bool:
    return any(
        bond.vehicle == vehicle and bond.meter == meter and bond.start < at <= bond.end
        for bond in world.assignments
    )


def _joined(
    owned: Sequence[tuple[Device, str, int, int]],
) -> list[tuple[Device, str, int, int]]:
    """Join times that follow each other without a gap: no other one had the meter in between."""
    joined: list[tuple[Device, str, int, int]] = []
    for device, name, first, last in owned:
        if joined and joined[-1][1] == name and joined[-1][3] == first:
            joined[-1] = (device, name, joined[-1][2], last)
        else:
            joined.append((device, name, first, last))
    return joined


def _overlaps(bond: Bond, start: int, end: int) -> bool:
    return bond.start < end and bond.end > start


def _status(ac: Fraction, dc: Fraction, coverage: Fraction, *, has_meter: bool) -> str:
    if not has_meter:
        return "no_meter"
    if ac < LEAST_AC_KWH or coverage < Fraction(1, 2):
        return "insufficient_data"
    if dc > ac:
        return "implausible"
    if dc / ac >= Fraction(85, 100):
        return "optimal"
    return "degraded" if dc / ac >= Fraction(75, 100) else "critical"


def _hours(
    own: Device,
    mine: list[tuple[int, Fraction]],
    taken: list[tuple[int, Fraction, bool]],
    start: int,
    end: int,
) -> "list[Hour]":
    hours = []
    for begin in range(start - start % HOUR_US, end, HOUR_US):
        first, last = max(begin, start), min(begin + HOUR_US, end)
        told = [one.temperature for one in own.readings if first < one.at <= last]
        felt = [one for one in told if one is not None]
        hours.append(
            Hour(
                start=first,
                end=last,
                ac=sum((kwh for at, kwh in mine if first < at <= last), Fraction()),
                dc=sum((kwh for at, kwh, _ in taken if first < at <= last), Fraction()),
                temperature=sum(felt) / len(felt) if felt else None,
                readings=len(told),
            )
        )
    return hours
