"""Energy of devices, added up for those whom it belongs to."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from energy.history import History
from energy.line import Line
from energy.units import Ints, Mask
from energy.worth import Doubt

DOUBTS = (
    Doubt.IMPLAUSIBLE_READING,
    Doubt.IMPLAUSIBLE_JUMP,
    Doubt.REGISTER_FELL,
    Doubt.UNSETTLED,
)


@dataclass(frozen=True, slots=True, eq=False)
class Parts:
    """Times of devices, and whose their energy is: n spans start < t <= end.

    `owner` (n) and `device` (n) are places; times are microseconds since 1970.
    """

    owner: Ints
    device: Ints
    starts: Ints
    ends: Ints

    @classmethod
    def of(cls, rows: "list[tuple[int, int, int, int]]") -> "Parts":
        """Return parts of rows (owner, device, start, end)."""
        table = np.array(rows, np.int64).reshape(-1, 4)
        return cls(table[:, 0], table[:, 1], table[:, 2], table[:, 3])

    def ending_after(self, time: int) -> "Parts":
        """Return the parts that reach beyond a time."""
        left = self.ends > time
        return Parts(self.owner[left], self.device[left], self.starts[left], self.ends[left])

    def among(self, names: Sequence[str], devices: Sequence[str]) -> "Parts":
        """Return the parts of some devices, with their places there; `names` are all of them."""
        places = {name: place for place, name in enumerate(devices)}
        place = np.array([places.get(name, -1) for name in names], np.int64)[self.device]
        left = place >= 0
        return Parts(self.owner[left], place[left], self.starts[left], self.ends[left])


@dataclass(frozen=True, slots=True, eq=False)
class Sides:
    """What n owners have, drawn or delivered, in the h hours of a window.

    - `energy` (n, h): nanokilowatt-hours
    - `is_told` (n, h): something is known of the energy
    - `known_us`, `asked_us` (n): for how long the energy is known, of how long it was asked for
    - `readings` (n): how many were read in the times asked for
    - `doubts` (n): of `Doubt`, about readings whose times lie there, if only in part
    """

    energy: Ints
    is_told: Mask
    known_us: Ints
    asked_us: Ints
    readings: Ints
    doubts: Ints

    @classmethod
    def of(cls, history: History, parts: Parts, owners: int, edges: Ints) -> "Sides":
        """Add up parts by owner, and by the hours between h + 1 edges (µs since 1970)."""
        line = history.line
        starts = line.times(parts.device, parts.starts)
        ends = line.times(parts.device, parts.ends)
        energy, is_told = _by_hour(history, parts, owners, edges)

        def summed(of_part: Ints) -> Ints:
            total = np.zeros(owners, np.int64)
            np.add.at(total, parts.owner, of_part)
            return total

        at = history.worth.at
        readings = summed(np.searchsorted(at, ends, "right") - np.searchsorted(at, starts, "right"))
        return cls(
            energy,
            is_told,
            summed(history.known.within(starts, ends)),
            summed(parts.ends - parts.starts),
            readings,
            doubted(history, starts, ends, summed),
        )

    def total(self) -> Ints:
        """Return the energy (n) of the window, in nanokilowatt-hours."""
        total: Ints = self.energy.sum(axis=1)
        return total

    def known_total(self, owner: int) -> int | None:
        """Return the energy of one owner, in nanokilowatt-hours; None if nothing is known of it.

        A long gap in which a register gained nothing is known as a whole, though no hour of it is.
        """
        is_known = self.is_told[owner].any() or self.known_us[owner] > 0
        return int(self.energy[owner].sum()) if is_known else None

    def known_by_hour(self) -> list[int | None]:
        """Return the energy of all owners in each hour; None if nothing is known of it."""
        energy: Ints = self.energy.sum(axis=0)
        told: Ints = self.is_told.sum(axis=0)
        return [
            one if count else None
            for one, count in zip(energy.tolist(), told.tolist(), strict=True)
        ]

    def known_sum(self) -> int | None:
        """Return the energy of all owners; None if nothing is known of it."""
        is_known = self.is_told.any() or self.known_us.any()
        return int(self.energy.sum()) if is_known else None

    def joint_coverage(self) -> float:
        """Return the share of what was asked for of all owners that is known, 0 if nothing was."""
        return int(self.known_us.sum()) / max(int(self.asked_us.sum()), 1)

    @property
    def coverage(self) -> NDArray[np.float64]:
        """The share (n) of what was asked for that is known, 0 if nothing was."""
        return self.known_us / np.maximum(self.asked_us, 1)

    @property
    def is_covered(self) -> Mask:
        """Whether (n) at least half of what was asked for is known."""
        covered: Mask = (self.asked_us > 0) & (2 * self.known_us >= self.asked_us)
        return covered


@dataclass(frozen=True, slots=True, eq=False)
class Pieces:
    """Parts, cut at the hours: n spans of owners' hours, start < t <= end on the line."""

    owner: Ints
    hour: Ints
    starts: Ints
    ends: Ints

    @classmethod
    def of(cls, line: Line, parts: Parts, edges: Ints) -> "Pieces":
        """Cut parts, which lie between the first and the last of h + 1 edges (µs since 1970)."""
        first = np.searchsorted(edges, parts.starts, side="right") - 1
        last = np.searchsorted(edges, parts.ends, side="left")
        counts = last - first
        part = np.repeat(np.arange(len(counts)), counts)
        hour = np.arange(len(part)) - np.repeat(np.cumsum(counts) - counts, counts) + first[part]
        device = parts.device[part]
        return cls(
            parts.owner[part],
            hour,
            line.times(device, np.maximum(parts.starts[part], edges[hour])),
            line.times(device, np.minimum(parts.ends[part], edges[hour + 1])),
        )

    def summed(self, of_piece: Ints, owners: int, hours: int) -> Ints:
        """Return the sums (n, h) by owner and hour."""
        total = np.zeros((owners, hours), np.int64)
        np.add.at(total, (self.owner, self.hour), of_piece)
        return total


def _by_hour(history: History, parts: Parts, owners: int, edges: Ints) -> tuple[Ints, Mask]:
    hours = len(edges) - 1
    pieces = Pieces.of(history.line, parts, edges)
    gained = history.spread.within(pieces.starts, pieces.ends)
    known = history.known.within(pieces.starts, pieces.ends)
    told = pieces.summed((known > 0) | (gained != 0), owners, hours)
    return pieces.summed(gained, owners, hours), told > 0


def doubted(history: History, starts: Ints, ends: Ints, summed: Callable[[Ints], Ints]) -> Ints:
    """Return the doubts about the readings of spans, start < t <= end on the line.

    `summed` adds up numbers of the spans for those whom the doubts are for.
    """
    at, found = history.worth.at, history.worth.doubts
    first, last = np.searchsorted(at, starts, "right"), np.searchsorted(at, ends, "right")
    readings = summed(last - first)
    doubts = np.zeros_like(readings)
    if not found.any():
        return doubts
    # Those that were read in the span, and the one whose time begins in it.
    reached = np.maximum(last, np.searchsorted(history.worth.since, ends, "left"))
    for doubt in DOUBTS:
        doubts[summed(_count(found, doubt, first, reached)) > 0] |= int(doubt)
    overlapping = summed(_count(found, Doubt.OVERLAPPING, first, last))
    doubts[100 * overlapping > readings] |= int(Doubt.OVERLAPPING)
    return doubts


def _count(doubts: Ints, doubt: Doubt, first: Ints, last: Ints) -> Ints:
    so_far = np.concatenate(([0], np.cumsum((doubts & int(doubt)) != 0)))
    counted: Ints = so_far[np.maximum(first, last)] - so_far[first]
    return counted
