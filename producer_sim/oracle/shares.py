"""When the energy of readings was used: evenly in the part of their time in which a session ran.

Where none ran, evenly in all of it. Pure; `Shares` knows ticks, `by_hour` knows the hours.
"""

from collections import deque
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from producer_sim.devices.fleet import HOUR_US
from producer_sim.devices.records import Floats, Integers


class Shares:
    """Of n devices of one stream, tick by tick."""

    def __init__(self) -> None:
        self._charging: deque[npt.NDArray[np.bool_]] = deque()

    def take(
        self, energy: Integers, ticks: Integers, charging: npt.NDArray[np.bool_]
    ) -> Iterator[Integers]:
        """Yield what of the readings' energy (n) was used in this tick, in the one before, and on.

        A reading accounts for so many of the last `ticks` (n); `charging` (n): a session runs.
        """
        self._charging.appendleft(charging)
        longest = int(ticks.max(initial=1))
        while len(self._charging) > longest:
            self._charging.pop()
        in_gap = np.arange(len(self._charging))[:, np.newaxis] < ticks
        charged = np.array(self._charging) & in_gap
        weights = np.where(charged.any(axis=0), charged, in_gap)
        # From the oldest tick on: the shares of a reading add up to it.
        so_far = np.cumsum(weights[::-1], axis=0)
        told = np.rint(energy * (so_far / so_far[-1])).astype(np.int64)
        yield from np.diff(told, axis=0, prepend=0)[::-1]


def by_hour(energy: Integers, ends: Integers, length: int) -> Iterator[tuple[int, Integers]]:
    """Yield the hours that spans of a length reach, and what of their energy lies in each."""
    if not len(ends):
        return
    starts = ends - length

    def until(time: int) -> Floats:
        share: Floats = np.clip(time - starts, 0, length) / length
        return np.rint(energy * share)

    for hour in range(int(starts.min()) // HOUR_US * HOUR_US, int(ends.max()), HOUR_US):
        yield hour, (until(hour + HOUR_US) - until(hour)).astype(np.int64)
