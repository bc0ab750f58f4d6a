"""The energy of vehicles by the UTC hour, as it is kept: later questions add it up.

What is known of a long gap of a register depends on the question: all of it or nothing. So gaps are
kept beside the hours.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Self

import numpy as np

from energy.device import FOREVER
from energy.history import History
from energy.sides import Parts, Pieces, doubted
from energy.units import HOUR_US, Ints, Mask
from energy.worth import Doubt


class Gap(NamedTuple):
    """A long gap of a register, known only within a span that has all of it.

    `owner` is the vehicle's place; start < t <= end in microseconds since 1970; `length_us` is what
    of it is not known anyway; `is_ac` tells the meter's from the vehicle's own.
    """

    owner: int
    start: int
    end: int
    length_us: int
    is_ac: bool


@dataclass(frozen=True, slots=True, eq=False)
class Hourly:
    """What n vehicles took, and what was drawn for them, in h hours.

    - `ac`, `dc` (n, h): nanokilowatt-hours
    - `ac_known_us`, `dc_known_us` (n, h): for how long that is known, whatever is asked
    - `doubts` (n, h): of `Doubt`, about the readings of both sides
    - `gaps`: those that end in the hours
    - `holds_until` (n): from then on it may be otherwise, although no reading has come
    """

    ac: Ints
    dc: Ints
    ac_known_us: Ints
    dc_known_us: Ints
    doubts: Ints
    gaps: Sequence[Gap]
    holds_until: Ints

    @classmethod
    def of(cls, delivered: History, drawn: History, charged: Parts, edges: Ints) -> Self:
        """Add up by the hours between h + 1 edges (µs since 1970).

        `charged`: when the meters' energy was the vehicles', as far back as a gap can reach.
        """
        count = len(delivered.line.shift)
        own = np.arange(count)
        always = Parts(own, own, np.full(count, -FOREVER), np.full(count, FOREVER))
        ac, ac_known, ac_doubts = _sums(drawn, charged, count, edges)
        dc, dc_known, dc_doubts = _sums(delivered, always, count, edges)
        gaps = [
            *_gaps(drawn, charged, edges, is_ac=True),
            *_gaps(delivered, always, edges, is_ac=False),
        ]
        holds = np.minimum(
            _holds_until(drawn, charged, count), _holds_until(delivered, always, count)
        )
        return cls(ac, dc, ac_known, dc_known, ac_doubts | dc_doubts, gaps, holds)


def _sums(history: History, parts: Parts, owners: int, edges: Ints) -> tuple[Ints, Ints, Ints]:
    starts, ends = np.maximum(parts.starts, edges[0]), np.minimum(parts.ends, edges[-1])
    inside: Mask = starts < ends
    within = Parts(parts.owner[inside], parts.device[inside], starts[inside], ends[inside])
    pieces = Pieces.of(history.line, within, edges)
    hours = len(edges) - 1
    return (
        pieces.summed(history.spread.within(pieces.starts, pieces.ends), owners, hours),
        pieces.summed(history.known.always_within(pieces.starts, pieces.ends), owners, hours),
        doubted(history, pieces.starts, pieces.ends, lambda one: pieces.summed(one, owners, hours)),
    )


def _gaps(history: History, parts: Parts, edges: Ints, *, is_ac: bool) -> list[Gap]:
    known = history.known
    devices = history.line.stretch(known.gap_ends)
    shift = history.line.shift[devices]
    found = []
    for device, start, end, length in zip(
        devices.tolist(),
        (known.gap_starts - shift).tolist(),
        (known.gap_ends - shift).tolist(),
        known.gap_lengths.tolist(),
        strict=True,
    ):
        if edges[0] < end <= edges[-1]:
            mine = (parts.device == device) & (parts.starts <= start) & (end <= parts.ends)
            found += [Gap(owner, start, end, length, is_ac) for owner in parts.owner[mine].tolist()]
    return found


def _holds_until(history: History, parts: Parts, owners: int) -> Ints:
    """Return (n) when the first reading is decided of which it is open what it is worth."""
    worth = history.worth
    at = worth.at[worth.doubts & int(Doubt.UNSETTLED) != 0]
    of_device = np.full(len(history.line.shift), FOREVER)
    devices = history.line.stretch(at)
    np.minimum.at(of_device, devices, at - history.line.shift[devices] + HOUR_US)
    until = np.full(owners, FOREVER)
    np.minimum.at(until, parts.owner, of_device[parts.device])
    return until
