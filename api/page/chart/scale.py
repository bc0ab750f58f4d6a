"""Scales: from values to places, and the round values that are labelled. Pure."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeVar

Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class Scale:
    """Maps `low`…`high` evenly to `start`…`end`; values beyond are mapped to its ends."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        share = (min(max(value, self.low), self.high) - self.low) / (self.high - self.low)
        return self.start + share * (self.end - self.start)


@dataclass(frozen=True, slots=True)
class TimeScale:
    """Maps times as `Scale` maps values."""

    first: datetime
    last: datetime
    start: float
    end: float

    def __call__(self, at: datetime) -> float:
        share = (min(max(at, self.first), self.last) - self.first) / (self.last - self.first)
        return self.start + share * (self.end - self.start)

    def ticks(self, every: timedelta) -> list[datetime]:
        """Return the round times of the scale, counted from midnight UTC."""
        midnight = self.first.replace(hour=0, minute=0, second=0, microsecond=0)
        at = midnight + math.ceil((self.first - midnight) / every) * every
        ticks = []
        while at <= self.last:
            ticks.append(at)
            at += every
        return ticks


def ticks(low: float, high: float, most: int) -> list[float]:
    """Return round values from at most `low` to at least `high`, in about `most` steps."""
    # Floats of this size cannot tell finer steps apart.
    span = max(high - low, 1e-6 * max(abs(low), abs(high), 1e-3))
    magnitude = 10.0 ** math.floor(math.log10(span / most))
    step = next(
        factor * magnitude for factor in (1, 2, 2.5, 5, 10, 20) if factor * magnitude * most >= span
    )
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(index * step, 10) for index in range(first, max(last, first + 1) + 1)]


def lines(
    points: Sequence[tuple[datetime, Value]], longest_gap: timedelta
) -> list[list[tuple[datetime, Value]]]:
    """Return the points as lines, broken wherever the next point is further than a gap away."""
    broken: list[list[tuple[datetime, Value]]] = []
    for point in points:
        if not broken or point[0] - broken[-1][-1][0] > longest_gap:
            broken.append([])
        broken[-1].append(point)
    return broken
