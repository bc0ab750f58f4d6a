"""What the product must answer, by its documented rules, given the truth. Pure.

Nothing is taken from the product. Energies come from the simulated devices; coverage is computed
from the times of the readings and from those that were withheld.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Protocol

import numpy as np

from producer_sim.devices.quirks.device import NANO
from producer_sim.devices.records import Integers
from producer_sim.oracle.schedule import Schedule
from producer_sim.oracle.spans import Span, clipped, joined, without
from producer_sim.oracle.truth import HOUR_US, Bond, Device, Truth

LONGEST_US = 31 * 24 * HOUR_US
BANDS = ("optimal", "degraded", "critical")
_LEAST_AC = NANO // 10
_LEAST_COVERAGE = 0.5
_TELLING_KW = 0.25
"""The average power from which a charger's standby no longer hides its efficiency."""
_TELLING_LOSS = 0.01
"""The largest share of a vehicle's energy that may be unreported for its ratio to be telling."""

Figures = tuple[int | None, int | None, int]
"""Of an hour: AC and DC in nanokilowatt-hours, None if nothing is known; the vehicle's readings."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """The right answer about one vehicle in one window.

    Energies are nanokilowatt-hours, None if nothing is known of them. `excuses`: the readings do
    not determine the AC; another one is right with one of these reasons, or a lower coverage.
    """

    vehicle_id: str
    ac: int | None
    dc: int | None
    meter_coverage: float
    vehicle_coverage: float
    meter_readings: int
    vehicle_readings: int
    sessions: int
    has_meter: bool
    reasons: tuple[str, ...]
    planted: str | None
    is_telling: bool
    """Whether the window shows the charger's condition: enough was charged, and little lost."""
    excuses: tuple[str, ...] = ()
    is_excused: bool = False
    """Whether the AC is what an answer says that is not sure of it."""

    @property
    def status(self) -> str:
        ac, dc = self.ac or 0, self.dc or 0
        if not self.has_meter:
            return "no_meter"
        if ac < _LEAST_AC or min(self.meter_coverage, self.vehicle_coverage) < _LEAST_COVERAGE:
            return "insufficient_data"
        if dc > ac:
            return "implausible"
        if 100 * dc >= 85 * ac:
            return "optimal"
        return "degraded" if 100 * dc >= 75 * ac else "critical"

    @property
    def is_anomaly(self) -> bool:
        """Return whether the vehicle is listed as an anomaly at the default threshold."""
        return self.status in ("degraded", "critical", "implausible")

    def allowing(self, ac: int | None, coverage: float, reasons: Iterable[str]) -> "Expected":
        """Return what is expected besides, if an answer says that it is not sure of its AC."""
        given = tuple(reason for reason in reasons if reason in self.excuses)
        is_lower = bool(self.excuses) and coverage < self.meter_coverage
        if ac is None or not (given or is_lower):
            return self
        allowed = (*self.reasons, *given)
        lowest = min(coverage, self.meter_coverage)
        return replace(self, ac=ac, meter_coverage=lowest, reasons=allowed, is_excused=True)


class Oracle(Protocol):
    """Knows the right answers about some vehicles."""

    def of(self, window: Span) -> Iterator[Expected]:
        """Yield the right answer for every vehicle, always in the same order."""

    def hours(self, index: int, window: Span) -> dict[int, Figures]:
        """Return the figures of the hours of a window, for the vehicle in this place."""


def windows(truth: Truth) -> list[Span]:
    """Return the windows to ask about: the whole run, and its first, middle and last hour.

    They begin and end at full hours or with the run. Of a longer run, the last 31 days count.
    """
    first = truth.start_us
    if truth.end_us - first > LONGEST_US:
        first = -((LONGEST_US - truth.end_us) // HOUR_US) * HOUR_US
    hours = hours_of((first, truth.end_us))
    return list(dict.fromkeys(((first, truth.end_us), hours[0], hours[len(hours) // 2], hours[-1])))


def hours_of(window: Span) -> list[Span]:
    """Return the UTC hours of a window, clipped to it."""
    start, end = window
    inner = range(start // HOUR_US * HOUR_US + HOUR_US, end, HOUR_US)
    return list(pairwise([start, *inner, end]))


def unless_unknown(energy: int, known_us: int) -> int | None:
    """Return an energy, or None if nothing is known of it."""
    return energy if energy or known_us else None


def is_telling(one: Expected, window: Span, *, ac_lived: int, dc_lived: int) -> bool:
    """Return whether a window shows the condition of the charger."""
    if one.status not in BANDS or one.excuses:
        return False
    least = _TELLING_KW * (window[1] - window[0]) / HOUR_US * NANO
    return (
        dc_lived >= least
        and abs((one.ac or 0) - ac_lived) <= _TELLING_LOSS * ac_lived
        and abs((one.dc or 0) - dc_lived) <= _TELLING_LOSS * dc_lived
    )


class Expectation:
    """The right answers for the vehicles of one run, in the order of `truth.vehicles`."""

    def __init__(self, truth: Truth) -> None:
        self._truth = truth
        self._devices = {device.device_id: device for device in truth.devices}
        withheld: dict[str, list[int]] = {}
        for one in truth.withheld:
            withheld.setdefault(one.device_id, []).append(one.recorded_at)
        self._schedules = {
            device.device_id: _schedule(device, truth, withheld.get(device.device_id, ()))
            for device in truth.devices
        }
        self._bonds: dict[str, list[Bond]] = {}
        self._on_meter: dict[str, list[Bond]] = {}
        for bond in truth.bonds:
            self._bonds.setdefault(bond.vehicle_id, []).append(bond)
            self._on_meter.setdefault(bond.meter_id, []).append(bond)

    def of(self, window: Span) -> Iterator[Expected]:
        """Yield the right answer for every vehicle."""
        start, end = window
        hours = [hour for hour in self._truth.hours if hour < end and hour + HOUR_US > start]
        for index, vehicle in enumerate(self._truth.vehicles):
            figures = [self._truth.hours[hour][:, index].tolist() for hour in hours]
            ac, dc, ac_lived, dc_lived, meter_readings, vehicle_readings = (
                map(sum, zip(*figures, strict=True)) if figures else (0,) * 6
            )
            mine = self._bonds_of(vehicle, window)
            spans, is_shared = self._responsible(mine, window)
            known = sum(self._schedules[meter].known(some) for meter, some in spans.items())
            asked = sum(last - first for some in spans.values() for first, last in some)
            schedule = self._schedules[vehicle.device_id]
            one = Expected(
                vehicle_id=vehicle.device_id,
                ac=unless_unknown(ac, known),
                dc=unless_unknown(dc, schedule.known([window])),
                meter_coverage=known / max(asked, 1),
                vehicle_coverage=schedule.coverage(window),
                meter_readings=meter_readings,
                vehicle_readings=vehicle_readings,
                sessions=sum(bond.kind == "session" for bond in mine),
                has_meter=bool(mine),
                reasons=self._reasons(spans, is_shared=is_shared),
                planted=vehicle.planted,
                is_telling=False,
            )
            shows = is_telling(one, window, ac_lived=ac_lived, dc_lived=dc_lived)
            yield replace(one, is_telling=shows)

    def hours(self, index: int, window: Span) -> dict[int, Figures]:
        """Return the figures of the hours of a window, for one vehicle."""
        vehicle = self._truth.vehicles[index]
        hours = hours_of(window)
        spans, _ = self._responsible(self._bonds_of(vehicle, window), window)
        meters: Integers = np.zeros(len(hours), dtype=np.int64)
        for meter, some in spans.items():
            cut = [(place, one) for place, hour in enumerate(hours) for one in clipped(some, *hour)]
            known = self._schedules[meter].known_in([piece for _, piece in cut])
            np.add.at(meters, [place for place, _ in cut], known)
        own = self._schedules[vehicle.device_id].known_in(hours)
        found: dict[int, Figures] = {}
        for (start, _), of_meters, of_vehicle in zip(
            hours, meters.tolist(), own.tolist(), strict=True
        ):
            at = start // HOUR_US * HOUR_US
            figures = self._truth.hours.get(at)
            ac, dc, _, _, _, readings = (0,) * 6 if figures is None else figures[:, index].tolist()
            found[at] = unless_unknown(ac, of_meters), unless_unknown(dc, of_vehicle), readings
        return found

    def _bonds_of(self, vehicle: Device, window: Span) -> list[Bond]:
        return [bond for bond in self._bonds.get(vehicle.device_id, ()) if bond.overlaps(*window)]

    def _responsible(self, mine: list[Bond], window: Span) -> tuple[dict[str, list[Span]], bool]:
        """Return when each meter's energy was the vehicle's, and whether any meter was shared."""
        spans: dict[str, list[Span]] = {}
        is_shared = False
        for meter in dict.fromkeys(bond.meter_id for bond in mine):
            there = [bond for bond in self._on_meter[meter] if bond.overlaps(*window)]
            own = {bond.vehicle_id for bond in mine}
            taken = _times([b for b in there if b.kind == "session"], window)
            others = _times(
                [b for b in there if b.kind == "assignment" and b.vehicle_id not in own], window
            )
            here = [bond for bond in mine if bond.meter_id == meter]
            charging = _times([b for b in here if b.kind == "session"], window)
            assigned = without(_times([b for b in here if b.kind == "assignment"], window), taken)
            alone = without(assigned, others)
            spans[meter] = joined(charging + alone)
            is_shared |= alone != assigned
        return spans, is_shared

    def _reasons(self, spans: dict[str, list[Span]], *, is_shared: bool) -> tuple[str, ...]:
        fell = any(
            start < jumped_at and before < end
            for meter, some in spans.items()
            if (jumped_at := self._devices[meter].jumped_at) is not None
            for before in [self._schedules[meter].read_before(jumped_at)]
            for start, end in some
        )
        return ("shared_meter",) * is_shared + ("register_fell",) * fell


def _schedule(device: Device, truth: Truth, withheld: Sequence[int]) -> Schedule:
    at = np.arange(device.first_at, truth.end_us, truth.interval_us)
    return Schedule(
        at[~np.isin(at, withheld)],
        is_register=device.reading_kind == "register",
        interval_us=truth.interval_us,
    )


def _times(bonds: list[Bond], window: Span) -> list[Span]:
    end = window[1]
    spans = [(bond.start, end if bond.end is None else bond.end) for bond in bonds]
    return clipped(spans, *window)
