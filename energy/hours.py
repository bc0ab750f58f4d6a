"""The UTC hours of a window, and what lies in each."""

from dataclasses import dataclass

import numpy as np

from energy.history import History
from energy.spans import Spans
from energy.units import HOUR_US, Ints, Mask


@dataclass(frozen=True, slots=True, eq=False)
class Hourly:
    """Energy by hours, of n hours.

    `energy` (n) is in nanokilowatt-hours; `is_known` (n): something is known about it.
    """

    energy: Ints
    is_known: Mask

    @classmethod
    def of(cls, history: History, spans: Spans, edges: Ints) -> "Hourly":
        """Return the energy of a device in some times, by the hours between n + 1 edges."""
        cuts = np.unique(np.concatenate((edges, spans.starts, spans.ends)))
        begins, ends = cuts[:-1], cuts[1:]
        inside = spans.covers(begins, ends)
        hour = np.searchsorted(edges, begins, side="right") - 1
        inside &= (hour >= 0) & (hour < len(edges) - 1)
        gained = np.diff(history.spread.until(cuts))
        known = np.diff(history.known.always.length_until(cuts))
        energy = np.zeros(len(edges) - 1, np.int64)
        np.add.at(energy, hour[inside], gained[inside])
        is_known = np.zeros(len(edges) - 1, np.bool_)
        is_known[hour[inside & ((known > 0) | (gained != 0))]] = True
        return cls(energy, is_known)

    def __add__(self, other: "Hourly") -> "Hourly":
        return Hourly(self.energy + other.energy, self.is_known | other.is_known)


def edges_of(start: int, end: int) -> Ints:
    """Return the edges of the UTC hours in start < t <= end, clipped to it."""
    first = start - start % HOUR_US + HOUR_US
    return np.concatenate(([start], np.arange(first, end, HOUR_US), [end]))
