"""What the product must answer, by its documented rules, given the truth. Pure.

Nothing is taken from the product's SQL. Energies come from the simulated devices; coverage is
computed from the times of the readings and from those that were withheld.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import count, pairwise

from producer_sim.devices.world import UNITS_PER_KWH
from producer_sim.oracle.truth import HOUR_US, Bond, Device, Truth

LONGEST_US = 31 * 24 * HOUR_US
BANDS = ("optimal", "degraded", "critical")
_LEAST_AC = UNITS_PER_KWH // 10
_LEAST_COVERAGE = Fraction(1, 2)
_TELLING_KW = 0.25
"""The average power from which a charger's standby no longer hides its efficiency."""
_TELLING_LOSS = 0.01
"""The largest share of a vehicle's energy that may be unreported for its ratio to be telling."""

Span = tuple[int, int]
"""A time, start < t <= end, in microseconds since 1970."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """The right answer about one vehicle in one window. Energies are in units of 0.0001 kWh."""

    vehicle_id: str
    ac: int
    dc: int
    status: str
    meter_coverage: Fraction
    vehicle_coverage: Fraction
    meter_readings: int
    vehicle_readings: int
    sessions: int
    reasons: tuple[str, ...]
    planted: str | None
    is_telling: bool
    """Whether the window shows the charger's condition: enough was charged, and little lost."""

    @property
    def is_anomaly(self) -> bool:
        """Return whether the vehicle is listed as an anomaly at the default threshold."""
        return self.status in ("degraded", "critical", "implausible")


def windows(truth: Truth) -> list[Span]:
    """Return the windows to ask about: the whole run, and its first, middle and last hour.

    They begin and end at full hours or with the run. Of a longer run, the last 31 days count.
    """
    first = truth.start_us
    if truth.end_us - first > LONGEST_US:
        first = -((LONGEST_US - truth.end_us) // HOUR_US) * HOUR_US
    inner = range(first // HOUR_US * HOUR_US + HOUR_US, truth.end_us, HOUR_US)
    cuts = [first, *inner, truth.end_us]
    hours = list(pairwise(cuts))
    return list(dict.fromkeys(((first, truth.end_us), hours[0], hours[len(hours) // 2], hours[-1])))


class Expectation:
    """The right answers for one run."""

    def __init__(self, truth: Truth) -> None:
        self._truth = truth
        self._devices = {device.device_id: device for device in truth.devices}
        withheld: dict[str, list[int]] = {}
        for one in truth.withheld:
            withheld.setdefault(one.device_id, []).append(one.recorded_at)
        self._schedules = {
            device.device_id: Schedule(
                device, truth.interval_us, truth.end_us, withheld.get(device.device_id, ())
            )
            for device in truth.devices
        }
        self._bonds: dict[str, list[Bond]] = {}
        self._on_meter: dict[str, list[Bond]] = {}
        for bond in truth.bonds:
            self._bonds.setdefault(bond.vehicle_id, []).append(bond)
            self._on_meter.setdefault(bond.meter_id, []).append(bond)

    def of(self, window: Span) -> "Iterator[Expected]":
        """Yield the right answer for every vehicle of the run, in the order of `truth.vehicles`."""
        start, end = window
        hours = [hour for hour in self._truth.hours if hour < end and hour + HOUR_US > start]
        for index, vehicle in enumerate(self._truth.vehicles):
            figures = [self._truth.hours[hour][:, index].tolist() for hour in hours]
            ac, dc, ac_lived, dc_lived, meter_readings, vehicle_readings = (
                map(sum, zip(*figures, strict=True)) if figures else (0,) * 6
            )
            mine = [b for b in self._bonds.get(vehicle.device_id, ()) if b.overlaps(start, end)]
            spans, is_shared = self._responsible(mine, window)
            vehicle_coverage = self._schedules[vehicle.device_id].coverage(window)
            meter_coverage = self._coverage_of_meters(spans)
            status = _status(ac, dc, min(vehicle_coverage, meter_coverage), has_meter=bool(mine))
            hours_long = (end - start) / HOUR_US
            yield Expected(
                vehicle_id=vehicle.device_id,
                ac=ac,
                dc=dc,
                status=status,
                meter_coverage=meter_coverage,
                vehicle_coverage=vehicle_coverage,
                meter_readings=meter_readings,
                vehicle_readings=vehicle_readings,
                sessions=sum(bond.kind == "session" for bond in mine),
                reasons=self._reasons(spans, is_shared=is_shared),
                planted=vehicle.planted,
                is_telling=status in BANDS
                and dc_lived >= _TELLING_KW * hours_long * UNITS_PER_KWH
                and abs(ac - ac_lived) <= _TELLING_LOSS * ac_lived
                and abs(dc - dc_lived) <= _TELLING_LOSS * dc_lived,
            )

    def _responsible(self, mine: list[Bond], window: Span) -> tuple[dict[str, list[Span]], bool]:
        """Return when each meter's energy was the vehicle's, and whether any meter was shared."""
        spans: dict[str, list[Span]] = {}
        is_shared = False
        for meter in dict.fromkeys(bond.meter_id for bond in mine):
            there = [bond for bond in self._on_meter[meter] if bond.overlaps(*window)]
            own = {bond.vehicle_id for bond in mine}
            taken = _clipped([b for b in there if b.kind == "session"], window)
            others = _clipped(
                [b for b in there if b.kind == "assignment" and b.vehicle_id not in own], window
            )
            here = [bond for bond in mine if bond.meter_id == meter]
            charging = _clipped([b for b in here if b.kind == "session"], window)
            assigned = without(_clipped([b for b in here if b.kind == "assignment"], window), taken)
            alone = without(assigned, others)
            spans[meter] = joined(charging + alone)
            is_shared |= alone != assigned
        return spans, is_shared

    def _coverage_of_meters(self, spans: dict[str, list[Span]]) -> Fraction:
        length = sum(end - start for some in spans.values() for start, end in some)
        if not length:
            return Fraction(0)
        covered = sum(self._schedules[meter].known(some) for meter, some in spans.items())
        return Fraction(covered, length)

    def _reasons(self, spans: dict[str, list[Span]], *, is_shared: bool) -> tuple[str, ...]:
        jumps = any(
            start < (self._devices[meter].jumped_at or 0) <= end
            for meter, some in spans.items()
            for start, end in some
        )
        return ("shared_meter",) * is_shared + ("implausible_jump",) * jumps


class Schedule:
    """The times of one device's readings, and which of them were withheld."""

    def __init__(
        self, device: Device, interval_us: int, end_us: int, withheld: Sequence[int]
    ) -> None:
        self._is_register = device.reading_kind == "register"
        self._interval = interval_us
        self._first_at = device.first_at
        self._last = (end_us - 1 - device.first_at) // interval_us
        self._missing = sorted((at - device.first_at) // interval_us for at in withheld)

    def coverage(self, window: Span) -> Fraction:
        """Return the share of the window that the readings account for."""
        return Fraction(self.known([window]), window[1] - window[0])

    def known(self, spans: list[Span]) -> int:
        """Return how many microseconds of these spans the readings account for."""
        return sum(self._known(start, end) for start, end in spans)

    def _known(self, start: int, end: int) -> int:
        # Readings are numbered from 0, one for each interval.
        first = max(0, (start - self._first_at) // self._interval + 1)
        last = min(self._last, (end - self._first_at) // self._interval)
        missed_before = bisect_left(self._missing, first)
        missed = bisect_right(self._missing, last) - missed_before
        got = last - first + 1 - missed
        if got <= 0:
            return 0
        missing = set(self._missing[missed_before : missed_before + missed])
        earliest = next(at for at in count(first) if at not in missing)
        begins = self._first_at + earliest * self._interval
        if self._is_register:
            latest = next(at for at in count(last, -1) if at not in missing)
            is_known_before = first > missed_before
            ends = self._first_at + latest * self._interval
            return ends - (start if is_known_before else begins)
        return min(self._interval, begins - start) + (got - 1) * self._interval


def without(spans: list[Span], others: list[Span]) -> list[Span]:
    """Return the spans less the others."""
    left = joined(spans)
    for start, end in others:
        left = [
            piece
            for first, last in left
            for piece in ((first, min(last, start)), (max(first, end), last))
            if piece[0] < piece[1]
        ]
    return left


def joined(spans: list[Span]) -> list[Span]:
    """Return the spans in order, with those that touch or overlap merged."""
    made: list[Span] = []
    for start, end in sorted(spans):
        if made and start <= made[-1][1]:
            made[-1] = made[-1][0], max(end, made[-1][1])
        else:
            made.append((start, end))
    return made


def _clipped(bonds: list[Bond], window: Span) -> list[Span]:
    start, end = window
    return [
        (max(bond.start, start), end if bond.end is None else min(bond.end, end)) for bond in bonds
    ]


def _status(ac: int, dc: int, coverage: Fraction, *, has_meter: bool) -> str:
    if not has_meter:
        return "no_meter"
    if ac < _LEAST_AC or coverage < _LEAST_COVERAGE:
        return "insufficient_data"
    if dc > ac:
        return "implausible"
    if 100 * dc >= 85 * ac:
        return "optimal"
    return "degraded" if 100 * dc >= 75 * ac else "critical"
