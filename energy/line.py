"""One line of time for many devices: each has a stretch of it, one after the other.

So the readings, sessions and spans of all devices are columns, and what is asked of them takes a
few numpy operations, as if there were one device.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from energy.spans import Spans
from energy.units import HOUR_US, Ints

# The place of a device, and the start and end of a span (µs since 1970).
Row = tuple[int, int, int]


# A reading's time begins at most a day before it, so before its stretch.
_APART_US = 24 * HOUR_US + 1


@dataclass(frozen=True, slots=True, eq=False)
class Line:
    """The stretches of n devices.

    - `begins`, `ends` (n): a device's stretch is begin < t <= end, in microseconds since 1970
    - `shift` (n): what is added to such a time on the line
    """

    begins: Ints
    ends: Ints
    shift: Ints

    @classmethod
    def of(cls, begins: Ints, ends: Ints) -> Self:
        """Lay out the stretches, so far apart that no reading's time is in two of them."""
        lengths = ends - begins + _APART_US
        return cls(begins, ends, np.cumsum(lengths) - lengths - begins)

    def times(self, device: Ints, at: Ints) -> Ints:
        """Return times (n) of devices (n, their places) on the line, within their stretches."""
        return np.clip(at, self.begins[device], self.ends[device]) + self.shift[device]

    def stretch(self, times: Ints) -> Ints:
        """Return the place of the device whose stretch each time (n) on the line is in."""
        return np.searchsorted(self.ends + self.shift, times, side="left")

    def spans(self, rows: Sequence[Row]) -> Spans:
        """Return the union of rows, as far as the stretches of their devices go."""
        table = np.array(rows, np.int64).reshape(-1, 3)
        device = table[:, 0]
        return Spans.of(self.times(device, table[:, 1]), self.times(device, table[:, 2]))
