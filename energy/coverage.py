"""For how long the energy of devices is known, where it belongs."""

from dataclasses import dataclass
from typing import Self

import numpy as np

from energy.readings import Readings
from energy.spans import Spans
from energy.units import Ints
from energy.worth import Worth


@dataclass(frozen=True, slots=True, eq=False)
class Known:
    """When the energy of devices is known.

    `always`: whatever is asked. `gaps`: in a long gap of a register it is known what was gained,
    but not when. So a gap is known only within a span that has all of it. `gap_lengths`: of what
    is not known anyway.
    """

    always: Spans
    gap_starts: Ints
    gap_ends: Ints
    gap_lengths: Ints

    @classmethod
    def of(cls, worth: Worth, readings: Readings, silence: Spans) -> Self:
        """Return what readings tell; `silence`: when it means that nothing flowed."""
        known_gap = np.array([one.known_gap_us for one in readings.facts], np.int64)
        is_long = worth.at - worth.since > known_gap[readings.held]
        is_long &= readings.is_register()
        always = Spans.of(worth.since[~is_long], worth.at[~is_long]).union(silence)
        starts, ends = worth.since[is_long], worth.at[is_long]
        anyway = always.length_until(ends) - always.length_until(starts)
        return cls(always, starts, ends, ends - starts - anyway)

    def within(self, starts: Ints, ends: Ints) -> Ints:
        """Return for how long the energy is known in each start < t <= end (n), in microseconds."""
        known = self.always_within(starts, ends)
        if not len(self.gap_starts):
            return known
        so_far = np.concatenate(([0], np.cumsum(self.gap_lengths)))
        first = np.searchsorted(self.gap_starts, starts, side="left")
        last = np.searchsorted(self.gap_ends, ends, side="right")
        return known + np.where(first < last, so_far[last] - so_far[first], 0)

    def always_within(self, starts: Ints, ends: Ints) -> Ints:
        """Return what of it is known whatever is asked."""
        return self.always.length_until(ends) - self.always.length_until(starts)

    def spans_within(self, start: int, end: int) -> Spans:
        """Return when the energy is known, if start < t <= end is asked for."""
        is_whole = (self.gap_starts >= start) & (self.gap_ends <= end)
        gaps = Spans.of(self.gap_starts[is_whole], self.gap_ends[is_whole])
        return self.always.within(start, end).union(gaps)
