"""When a device was read, and for which times its readings tell the energy. Pure."""

from collections.abc import Sequence

import numpy as np

from producer_sim.devices.records import Integers
from producer_sim.oracle.spans import Span, joined

_SHORT_US = 300_000_000
"""In a gap that is no longer, it is known when a register's energy was used."""


class Schedule:
    """The times of one device's readings, in order.

    `silence`: times in which it is known that nothing flowed, without a reading.
    """

    def __init__(
        self,
        at: Integers,
        *,
        is_register: bool,
        interval_us: int,
        silence: Sequence[Span] = (),
    ) -> None:
        self.at = at
        # What was before the first reading of a register is not known.
        before = np.concatenate((at[:1] - (0 if is_register else interval_us), at[:-1]))
        self.since = before if is_register else np.maximum(before, at - interval_us)
        is_long = at - self.since > max(_SHORT_US, 2 * interval_us)
        is_long &= is_register
        self._gaps = self.since[is_long], at[is_long]
        spans = _merged(self.since[~is_long], at[~is_long])
        if silence:
            spans = joined([*spans, *silence])
        edges = np.array(spans, dtype=np.int64).reshape(-1, 2)
        self._starts, self._ends = edges[:, 0], edges[:, 1]
        self._so_far = np.concatenate(([0], np.cumsum(self._ends - self._starts)))

    def coverage(self, window: Span) -> float:
        """Return the share of the window that the readings account for."""
        return self.known([window]) / (window[1] - window[0])

    def known(self, spans: Sequence[Span]) -> int:
        """Return for how many microseconds of these spans the energy is known."""
        return int(self.known_in(spans).sum())

    def known_in(self, spans: Sequence[Span]) -> Integers:
        """Return for how many microseconds of each of the spans the energy is known.

        In a long gap of a register it is known how much was used, but not when. So the gap is known
        only within a span that has all of it.
        """
        table = np.array(spans, dtype=np.int64).reshape(-1, 2)
        starts, ends = table[:, 0], table[:, 1]
        known = self._until(ends) - self._until(starts)
        for first, last in zip(*self._gaps, strict=True):
            known += np.where((starts <= first) & (last <= ends), last - first, 0)
        return known

    def read_before(self, at: int) -> int:
        """Return when the device was read before a reading, or that reading's time if never."""
        return int(self.since[np.searchsorted(self.at, at)])

    def count(self, start: int, end: int) -> int:
        """Return how many readings there are in start < t <= end."""
        first, last = np.searchsorted(self.at, (start, end), side="right").tolist()
        return int(last - first)

    def _until(self, times: Integers) -> Integers:
        begun = np.searchsorted(self._starts, times, side="left")
        if not len(self._starts):
            return np.zeros_like(times)
        last = np.maximum(begun - 1, 0)
        running = np.minimum(times, self._ends[last]) - self._starts[last]
        return np.where(begun > 0, self._so_far[last] + running, 0)


def _merged(starts: Integers, ends: Integers) -> list[Span]:
    """Return spans that are in order, with those that touch merged."""
    if not len(starts):
        return []
    begins = np.concatenate(([True], starts[1:] > ends[:-1]))
    stops = np.concatenate((begins[1:], [True]))
    spans = zip(starts[begins].tolist(), ends[stops].tolist(), strict=True)
    return [span for span in spans if span[0] < span[1]]
