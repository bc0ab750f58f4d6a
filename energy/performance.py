"""The answers: what a vehicle took of what its meters drew, and what a meter gave to whom."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from energy.bonds import Bonds
from energy.history import History
from energy.hours import Hourly, edges_of
from energy.reasons import Reason, reasons
from energy.spans import Spans
from energy.status import Status, judge
from energy.units import Ints


@dataclass(frozen=True, slots=True)
class Side:
    """What is known of the energy of some devices, each in times of its own.

    `energy` is in nanokilowatt-hours, None if nothing is known of it. `known_us` of the
    `length_us` is known. `readings` were read in these times.
    """

    energy: int | None
    known_us: int
    length_us: int
    readings: int
    hourly: Hourly

    @property
    def coverage(self) -> float:
        """The share that is known, from 0 to 1; 0 if no time was asked for."""
        return self.known_us / self.length_us if self.length_us else 0.0

    @property
    def is_covered(self) -> bool:
        """Whether at least half is known."""
        return self.length_us > 0 and 2 * self.known_us >= self.length_us


@dataclass(frozen=True, slots=True)
class Performance:
    """How well a vehicle was charged in a window; `meters` are the times that counted for each."""

    ac: Side
    dc: Side
    status: Status
    reasons: list[Reason]
    meters: Mapping[str, Spans]
    edges: Ints

    @property
    def ratio(self) -> float | None:
        """DC over AC; None if nothing was drawn, or either is not known."""
        if not self.ac.energy or self.dc.energy is None:
            return None
        return self.dc.energy / self.ac.energy


@dataclass(frozen=True, slots=True)
class Served:
    """What a meter gave to one vehicle: what it drew, and the vehicle took, in the same times."""

    ac: Side
    dc: Side


@dataclass(frozen=True, slots=True)
class MeterPerformance:
    """What a meter drew in a window, and for whom."""

    ac: Side
    vehicles: Mapping[str, Served]
    reasons: list[Reason]
    edges: Ints


@dataclass(frozen=True, slots=True)
class Question:
    """The window start < t <= end (µs since 1970), and what is stored about it.

    `meters` and `vehicles` are the histories of all that are concerned. What was read before
    `removed_until` is not stored any more.
    """

    start: int
    end: int
    bonds: Bonds
    meters: Mapping[str, History]
    vehicles: Mapping[str, History]
    removed_until: int | None = None

    @property
    def window(self) -> Spans:
        """The window as spans."""
        return Spans.of_pairs([(self.start, self.end)])

    def vehicle(self, vehicle: str, *, only_meter: str | None = None) -> Performance:
        """Return how well a vehicle was charged.

        `only_meter`: all energy of this meter counts, whatever was assigned.
        """
        if only_meter is None:
            bound = self.bonds.meters_of(vehicle, self.start, self.end)
            charged = {meter: self._charged(vehicle, meter) for meter in bound}
        else:
            charged = {only_meter: self.window}
        edges = edges_of(self.start, self.end)
        own = self.vehicles[vehicle]
        ac = _side([(self.meters[meter], spans) for meter, spans in charged.items()], edges)
        dc = _side([(own, self.window)], edges)
        found = reasons(own, self.window) | self._removed()
        for meter, spans in charged.items():
            found |= reasons(self.meters[meter], spans)
            if only_meter is None and self._shared(vehicle, meter):
                found.add(Reason.SHARED_METER)
        status = judge(
            ac.energy or 0,
            dc.energy or 0,
            has_meter=bool(charged),
            is_covered=ac.is_covered and dc.is_covered,
        )
        return Performance(ac, dc, status, _in_order(found), charged, edges)

    def meter(self, meter: str) -> MeterPerformance:
        """Return what a meter drew, and for whom."""
        edges = edges_of(self.start, self.end)
        history = self.meters[meter]
        found = reasons(history, self.window) | self._removed()
        vehicles = {}
        for vehicle in self.bonds.vehicles_of(meter, self.start, self.end):
            spans = self._charged(vehicle, meter)
            if self._shared(vehicle, meter):
                found.add(Reason.SHARED_METER)
            if len(spans):
                own = self.vehicles[vehicle]
                found |= reasons(own, spans)
                vehicles[vehicle] = Served(
                    _side([(history, spans)], edges), _side([(own, spans)], edges)
                )
        return MeterPerformance(
            _side([(history, self.window)], edges), vehicles, _in_order(found), edges
        )

    def _charged(self, vehicle: str, meter: str) -> Spans:
        return self.bonds.charged(vehicle, meter).within(self.start, self.end)

    def _shared(self, vehicle: str, meter: str) -> bool:
        return len(self.bonds.shared(vehicle, meter).within(self.start, self.end)) > 0

    def _removed(self) -> set[Reason]:
        is_removed = self.removed_until is not None and self.start < self.removed_until
        return {Reason.HISTORY_REMOVED} if is_removed else set()


def _side(parts: list[tuple[History, Spans]], edges: Ints) -> Side:
    """Add up devices, each in its own times."""
    nothing = np.zeros(len(edges) - 1, np.int64)
    hourly = Hourly(nothing, nothing.astype(np.bool_))
    energy = known_us = length_us = readings = 0
    for history, spans in parts:
        energy += history.spread.within(spans)
        known_us += history.known.within(spans)
        length_us += spans.length()
        readings += history.count(spans)
        hourly += Hourly.of(history, spans, edges)
    return Side(energy if energy or known_us else None, known_us, length_us, readings, hourly)


def _in_order(found: set[Reason]) -> list[Reason]:
    return [reason for reason in Reason if reason in found]
