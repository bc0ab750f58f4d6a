"""The slow reference: what a vehicle, or a meter, answers about a window.

Written from the page on energy alone, without a look at the product's code, and meant to be
read beside it: exact fractions, one span after the other.
"""

from bisect import bisect_right
from dataclasses import dataclass, field
from fractions import Fraction
from functools import lru_cache
from itertools import pairwise

from tests.energy.slow_world import (
    HOUR,
    KWH,
    Device,
    Span,
    Stay,
    World,
    length,
    united,
    within,
)
from tests.energy.slow_worth import Worth, worths

settled = lru_cache(maxsize=256)(worths)


@dataclass
class Part:
    """What is known of one device, or of several together, in one span or several."""

    energy: int | None = None
    known: int = 0
    whole: int = 0
    readings: int = 0
    overlapping: int = 0
    doubts: set[str] = field(default_factory=set)

    @property
    def reasons(self) -> set[str]:
        overlap = 100 * self.overlapping > self.readings
        return self.doubts | ({"overlapping_readings"} if overlap else set())

    @property
    def coverage(self) -> Fraction | None:
        return Fraction(self.known, self.whole) if self.whole else None

    def add(self, other: "Part") -> None:
        if other.energy is not None:
            self.energy = (self.energy or 0) + other.energy
        self.known += other.known
        self.whole += other.whole
        self.readings += other.readings
        self.overlapping += other.overlapping
        self.doubts |= other.doubts


@dataclass
class Answer:
    """The answer for a vehicle or a meter: one window, or one hour of it."""

    start: int
    end: int
    ac: Part
    dc: Part
    reasons: set[str]
    has_meter: bool = True
    hours: list["Answer"] = field(default_factory=list)
    served: dict[str, tuple[int | None, int | None]] = field(default_factory=dict)

    @property
    def ratio(self) -> Fraction | None:
        if self.ac.energy and self.dc.energy is not None:
            return Fraction(self.dc.energy, self.ac.energy)
        return None

    @property
    def status(self) -> str:
        if not self.has_meter:
            return "no_meter"
        if (
            self.ac.energy is None
            or self.dc.energy is None
            or not self.ac.whole
            or 10 * self.ac.energy < KWH
            or 2 * self.ac.known < self.ac.whole
            or 2 * self.dc.known < self.dc.whole
        ):
            return "insufficient_data"
        ratio = Fraction(self.dc.energy, self.ac.energy)
        if ratio > 1:
            return "implausible"
        if ratio >= Fraction(85, 100):
            return "optimal"
        return "degraded" if ratio >= Fraction(75, 100) else "critical"


def vehicle_answer(
    world: World, vehicle: str, start: int, end: int, meter: str | None = None
) -> Answer:
    """Return a vehicle's window, and its hours."""
    answer = _vehicle_span(world, vehicle, start, end, meter)
    answer.hours = [_vehicle_span(world, vehicle, a, b, meter) for a, b in hours(start, end)]
    return answer


def meter_answer(world: World, meter: str, start: int, end: int) -> Answer:
    """Return a meter's window, and its hours."""
    answer = _meter_span(world, meter, start, end)
    answer.hours = [_meter_span(world, meter, a, b) for a, b in hours(start, end)]
    return answer


def hours(start: int, end: int) -> list[Span]:
    """Return the hours of a window; the first and the last may be parts of one."""
    edges = [start, *range((start // HOUR + 1) * HOUR, end, HOUR), end]
    return list(pairwise(edges))


def _vehicle_span(world: World, vehicle: str, start: int, end: int, meter: str | None) -> Answer:
    car = _named(world.vehicles, vehicle)
    ac, shared = Part(), False
    for device in world.meters:
        if meter is None:
            spans, is_shared = _responsible(world, device.name, vehicle)
        else:
            spans, is_shared = ([(start, end)] if device.name == meter else []), []
        shared = shared or bool(within(is_shared, start, end))
        ac.add(_part(world, device, within(spans, start, end)))
    dc = _part(world, car, [(start, end)])
    reasons = ac.reasons | dc.reasons | ({"shared_meter"} if shared else set())
    stays = [stay for stay in world.sessions + world.assignments if stay.vehicle == vehicle]
    has_meter = bool(meter or within([(stay.start, stay.end) for stay in stays], start, end))
    return Answer(start, end, ac, dc, reasons, has_meter)


def _meter_span(world: World, meter: str, start: int, end: int) -> Answer:
    device = _named(world.meters, meter)
    ac, dc = _part(world, device, [(start, end)]), Part()
    answer = Answer(start, end, ac, dc, set())
    for car in world.vehicles:
        charged, shared = _responsible(world, meter, car.name)
        charged, shared = within(charged, start, end), within(shared, start, end)
        if shared:
            answer.reasons.add("shared_meter")
        # What vehicles that share the meter take is theirs; what it draws for them is nobody's.
        if spans := united(charged + shared):
            elsewhere = [
                (stay.start, stay.end)
                for stay in world.sessions
                if stay.vehicle == car.name and stay.meter != meter
            ]
            delivered = _part(world, car, _without(spans, elsewhere))
            dc.add(delivered)
            answer.reasons |= delivered.reasons
            answer.served[car.name] = (_part(world, device, charged).energy, delivered.energy)
    answer.reasons |= ac.reasons
    return answer


def _without(spans: list[Span], others: list[Span]) -> list[Span]:
    edges = sorted({edge for span in spans + others for edge in span})
    return united(
        (a, b) for a, b in pairwise(edges) if within(spans, a, b) and not within(others, a, b)
    )


def _named(devices: tuple[Device, ...], name: str) -> Device:
    return next((device for device in devices if device.name == name), Device(name))


def _responsible(world: World, meter: str, vehicle: str) -> tuple[list[Span], list[Span]]:
    """Return when the meter charged the vehicle, and when it was one of several assigned."""
    sessions = [stay for stay in world.sessions if stay.meter == meter]
    assigned = [stay for stay in world.assignments if stay.meter == meter]
    edges = sorted({edge for stay in sessions + assigned for edge in (stay.start, stay.end)})
    charged, shared = [], []
    for start, end in pairwise(edges):
        session = {stay.vehicle for stay in sessions if _holds(stay, start, end)}
        standing = {stay.vehicle for stay in assigned if _holds(stay, start, end)}
        if vehicle in session or (not session and standing == {vehicle}):
            charged.append((start, end))
        elif not session and vehicle in standing:
            shared.append((start, end))
    return united(charged), united(shared)


def _holds(stay: Stay, start: int, end: int) -> bool:
    return stay.start <= start and end <= stay.end


def _part(world: World, device: Device, spans: list[Span]) -> Part:
    """Return what is known of a device in its spans."""
    is_vehicle = device.name in {car.name for car in world.vehicles}
    charging = united(
        (stay.start, stay.end)
        for stay in world.sessions
        if (stay.vehicle if is_vehicle else stay.meter) == device.name
    )
    part = Part()
    for start, end in spans:
        part.add(_span(settled(device, world.as_of), charging, start, end))
        if is_vehicle:
            silent = _silent(device, charging, start, end)
            part.known += length(silent) - length(
                overlap
                for a, b in silent
                for overlap in within(_known(settled(device, world.as_of), start, end), a, b)
            )
    if part.known and part.energy is None:
        part.energy = 0  # a vehicle's silence that is known
    return part


def _span(of_device: list[Worth], charging: list[Span], start: int, end: int) -> Part:
    of_device = _near(of_device, start, end)
    touching = [worth for worth in of_device if worth.start < end and start < worth.at]
    read = [worth for worth in of_device if start < worth.at <= end]
    energy = sum(share(worth, charging, start, end) for worth in touching)
    known = length(_known(of_device, start, end))
    reasons = {worth.reason for worth in touching + read if worth.reason}
    overlapping = sum(worth.overlaps for worth in read)
    is_known = energy or known
    return Part(energy if is_known else None, known, end - start, len(read), overlapping, reasons)


def _near(of_device: list[Worth], start: int, end: int) -> list[Worth]:
    """Return the readings that the span may have a part in: those in it, and one more."""
    first = bisect_right(of_device, start, key=lambda worth: worth.at)
    return of_device[first : bisect_right(of_device, end, key=lambda worth: worth.at) + 1]


def share(worth: Worth, charging: list[Span], start: int, end: int) -> int:
    """Return how much of a reading's energy lies in the span."""
    if not worth.energy:
        return 0
    own = within(charging, worth.start, worth.at) or [(worth.start, worth.at)]
    whole = length(own)

    def until(x: int) -> int:
        part = length(within(own, worth.start, x))
        return (2 * worth.energy * part + whole) // (2 * whole)

    return until(max(end, worth.start)) - until(max(start, worth.start))


def _known(of_device: list[Worth], start: int, end: int) -> list[Span]:
    """Return the times of the span of which the energy is known."""
    known = [
        (worth.start, worth.at)
        for worth in _near(of_device, start, end)
        if not worth.long or (start <= worth.start and worth.at <= end)
    ]
    return united(within(known, start, end))


def _silent(device: Device, charging: list[Span], start: int, end: int) -> list[Span]:
    """Return the times at which the vehicle, which was in no session, is silent by its nature."""
    edges = [start, *(edge for span in charging for edge in span if start < edge < end), end]
    edges += [facts.since for facts in device.facts if start < facts.since < end]
    edges.sort()
    return united(
        (a, b)
        for a, b in pairwise(edges)
        if device.facts_at(a).only_while_charging and not within(charging, a, b)
    )
