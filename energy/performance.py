"""The answers: what vehicles took of what their meters drew, and what a meter gave to whom."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from energy.charged import Charged
from energy.history import History
from energy.served import Served
from energy.sides import Parts, Sides
from energy.status import Status, judge
from energy.units import HOUR_US, Ints
from energy.worth import Doubt


class Reason(StrEnum):
    """Why an answer may be less than the truth, or not be sure; in the order of an answer."""

    SHARED_METER = "shared_meter"
    IMPLAUSIBLE_JUMP = "implausible_jump"
    IMPLAUSIBLE_READING = "implausible_reading"
    OVERLAPPING_READINGS = "overlapping_readings"
    REGISTER_FELL = "register_fell"
    UNSETTLED = "unsettled"
    HISTORY_REMOVED = "history_removed"


_OF_DOUBT = {
    Doubt.IMPLAUSIBLE_JUMP: Reason.IMPLAUSIBLE_JUMP,
    Doubt.IMPLAUSIBLE_READING: Reason.IMPLAUSIBLE_READING,
    Doubt.OVERLAPPING: Reason.OVERLAPPING_READINGS,
    Doubt.REGISTER_FELL: Reason.REGISTER_FELL,
    Doubt.UNSETTLED: Reason.UNSETTLED,
}


@dataclass(frozen=True, slots=True, eq=False)
class Performance:
    """How well n vehicles were charged in a window, by its hours.

    `edges` (h + 1): of the hours, in microseconds since 1970.
    """

    edges: Ints
    ac: Sides
    dc: Sides
    status: Sequence[Status]
    reasons: Sequence[Sequence[Reason]]


def performance(
    vehicles: History, meters: History, charged: Charged, start: int, end: int
) -> Performance:
    """Return how well all of the vehicles were charged in start < t <= end (µs since 1970)."""
    count = len(charged.has_meter)
    edges = hours(start, end)
    own = np.arange(count)
    whole = Parts(own, own, np.full(count, start), np.full(count, end))
    ac = Sides.of(meters, charged.parts, count, edges)
    dc = Sides.of(vehicles, whole, count, edges)
    status = [
        judge(drawn, delivered, has_meter=has_meter, is_covered=is_covered)
        for drawn, delivered, has_meter, is_covered in zip(
            ac.total().tolist(),
            dc.total().tolist(),
            charged.has_meter.tolist(),
            (ac.is_covered & dc.is_covered).tolist(),
            strict=True,
        )
    ]
    is_removed = start < max(vehicles.removed_until, meters.removed_until)
    reasons = [
        reasons_of(Doubt(doubts), shares=shares, is_removed=is_removed)
        for doubts, shares in zip(
            (ac.doubts | dc.doubts).tolist(), charged.shares.tolist(), strict=True
        )
    ]
    return Performance(edges, ac, dc, status, reasons)


@dataclass(frozen=True, slots=True, eq=False)
class MeterPerformance:
    """What a meter drew in a window, and what the n vehicles took that it served, by its hours.

    - `ac` (1 owner): all that it drew; `shares` (n): what of it was one vehicle's alone
    - `dc` (n): what the vehicles took while they were at the meter
    """

    edges: Ints
    ac: Sides
    shares: Sides
    dc: Sides
    reasons: Sequence[Reason]


def meter_performance(
    meter: History, vehicles: History, served: Served, start: int, end: int
) -> MeterPerformance:
    """Return how well a meter's energy arrived in start < t <= end (µs since 1970).

    `meter` is of one device, and `vehicles` of those in `served`, in their order.
    """
    count = len(served.vehicles)
    edges = hours(start, end)
    ac = Sides.of(meter, Parts.of([(0, 0, start, end)]), 1, edges)
    dc = Sides.of(vehicles, served.together, count, edges)
    doubts = Doubt(int(ac.doubts[0] | np.bitwise_or.reduce(dc.doubts, initial=0)))
    return MeterPerformance(
        edges,
        ac,
        Sides.of(meter, served.alone, count, edges),
        dc,
        reasons_of(
            doubts,
            shares=served.shares,
            is_removed=start < max(meter.removed_until, vehicles.removed_until),
        ),
    )


def reasons_of(doubts: Doubt, *, shares: bool = False, is_removed: bool = False) -> list[Reason]:
    """Return the reasons, in the order of an answer."""
    found = {reason for doubt, reason in _OF_DOUBT.items() if doubt & doubts}
    if shares:
        found.add(Reason.SHARED_METER)
    if is_removed:
        found.add(Reason.HISTORY_REMOVED)
    return [reason for reason in Reason if reason in found]


def hours(start: int, end: int) -> Ints:
    """Return the edges of the UTC hours in start < t <= end, clipped to it (µs since 1970)."""
    first = start - start % HOUR_US + HOUR_US
    return np.concatenate(([start], np.arange(first, end, HOUR_US), [end]))
