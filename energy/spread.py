"""Where the energy of readings lies: evenly in the part of its time in which a session ran.

Where none ran, it lies evenly in all of its time.
"""

from dataclasses import dataclass

import numpy as np

from energy.spans import Spans
from energy.units import Ints
from energy.worth import Worth

# Whole numbers below this can be multiplied with each other in 64 bits.
_SMALL = 2**31


@dataclass(frozen=True, slots=True, eq=False)
class Spread:
    """What readings are worth, and the sessions that decide where that lies.

    `charging`: when sessions ran on a meter; of a vehicle, when it was in one.
    """

    worth: Worth
    charging: Spans

    def within(self, starts: Ints, ends: Ints) -> Ints:
        """Return the energy (n) that lies in start < t <= end, in nanokilowatt-hours."""
        energy: Ints = self.until(ends) - self.until(starts)
        return energy

    def until(self, times: Ints) -> Ints:
        """Return for each time (n) the energy that lies before it on the line.

        A reading's share so far is rounded, never that of a span: so the shares of spans that
        follow each other add up to the reading.
        """
        worth = self.worth
        so_far = np.concatenate(([0], np.cumsum(worth.energy)))
        over = np.searchsorted(worth.at, times, side="right")
        energy: Ints = so_far[over]
        if not len(worth):
            return energy
        reading = np.minimum(over, len(worth) - 1)
        begun = np.flatnonzero((over < len(worth)) & (worth.since[reading] < times))
        energy[begun] += self._shares(reading[begun], times[begun])
        return energy

    def _shares(self, reading: Ints, until: Ints) -> Ints:
        """Return the energy of readings (n) that lies before times (n) within their own."""
        began, ended = self.worth.since[reading], self.worth.at[reading]
        charged = self.charging.length_until
        before = charged(began)
        part, whole = charged(until) - before, charged(ended) - before
        no_session = whole == 0
        part = np.where(no_session, until - began, part)
        whole = np.where(no_session, ended - began, whole)
        return _rounded_share(self.worth.energy[reading], part, whole)


def _rounded_share(energy: Ints, part: Ints, whole: Ints) -> Ints:
    """Return the part of the whole of each energy (n), rounded to a whole number."""
    wholes, rest = np.divmod(energy, whole)
    share: Ints = wholes * part + (2 * rest * part + whole) // (2 * whole)
    for place in np.flatnonzero(whole >= _SMALL):
        one, its_part, its_whole = int(energy[place]), int(part[place]), int(whole[place])
        share[place] = (2 * one * its_part + its_whole) // (2 * its_whole)
    return share
