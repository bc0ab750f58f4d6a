"""Where the energy of readings lies: evenly in the part of its time in which a session ran.

Where none ran, it lies evenly in all of its time.
"""

from dataclasses import dataclass

import numpy as np

from energy.spans import Spans
from energy.units import Ints
from energy.worth import Worth


@dataclass(frozen=True, slots=True, eq=False)
class Spread:
    """What a device's readings are worth, and the sessions that decide where that lies.

    `charging`: when sessions ran on the meter; of a vehicle, when it was in one.
    """

    worth: Worth
    charging: Spans

    def within(self, spans: Spans) -> int:
        """Return the energy that lies in these times, in nanokilowatt-hours."""
        return int(np.sum(self.until(spans.ends) - self.until(spans.starts)))

    def until(self, times: Ints) -> Ints:
        """Return for each time (n) the energy that lies before it.

        A reading's share so far is rounded, never that of a span: so the shares of spans that
        follow each other add up to the reading.
        """
        worth = self.worth
        so_far = np.concatenate(([0], np.cumsum(worth.energy)))
        over = np.searchsorted(worth.at, times, side="right")
        energy = so_far[over]
        last = len(worth) - 1
        if last < 0:
            return energy
        under_way = np.minimum(over, last)
        is_begun = (
            (over <= last) & (worth.since[under_way] < times) & (worth.energy[under_way] != 0)
        )
        for place in np.flatnonzero(is_begun):
            energy[place] += self._share(int(under_way[place]), int(times[place]))
        return energy

    def _share(self, reading: int, until: int) -> int:
        """Return the energy of a reading that lies before a time within its own."""
        began, ended = int(self.worth.since[reading]), int(self.worth.at[reading])
        charged = self.charging.length_until(np.array([began, until, ended]))
        part, whole = int(charged[1] - charged[0]), int(charged[2] - charged[0])
        if whole == 0:
            part, whole = until - began, ended - began
        return (2 * int(self.worth.energy[reading]) * part + whole) // (2 * whole)
