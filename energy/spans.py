"""Sets of times, as spans `start < t <= end` in order, none of which overlap or touch."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

import numpy as np

from energy.units import Ints, Mask


@dataclass(frozen=True, slots=True, eq=False)
class Spans:
    """n spans: `starts` (n) and `ends` (n) in microseconds, start < end < the next start."""

    starts: Ints
    ends: Ints

    @classmethod
    def of(cls, starts: Ints, ends: Ints) -> Self:
        """Return the union of spans in any order; those without length count for nothing."""
        has_length = starts < ends
        starts, ends = starts[has_length], ends[has_length]
        order = np.argsort(starts, kind="stable")
        starts, ends = starts[order], np.maximum.accumulate(ends[order])
        is_first = np.ones(len(starts), np.bool_)
        is_first[1:] = starts[1:] > ends[:-1]
        is_last = np.ones(len(starts), np.bool_)
        is_last[:-1] = is_first[1:]
        return cls(starts[is_first], ends[is_last])

    @classmethod
    def of_pairs(cls, pairs: Iterable[tuple[int, int]]) -> Self:
        """Return the union of (start, end)."""
        table = np.array(list(pairs), np.int64).reshape(-1, 2)
        return cls.of(table[:, 0], table[:, 1])

    def __len__(self) -> int:
        return len(self.starts)

    def pairs(self) -> list[tuple[int, int]]:
        """Return the spans as (start, end)."""
        return list(zip(self.starts.tolist(), self.ends.tolist(), strict=True))

    def length(self) -> int:
        """Return how long all spans are together, in microseconds."""
        return int(np.sum(self.ends - self.starts))

    def length_until(self, times: Ints) -> Ints:
        """Return for each time (n) how long the spans are together until then."""
        if not len(self):
            return np.zeros_like(times)
        so_far = np.concatenate(([0], np.cumsum(self.ends - self.starts)))
        begun = np.searchsorted(self.starts, times, side="left")
        last = np.maximum(begun - 1, 0)
        in_last = np.minimum(times, self.ends[last]) - self.starts[last]
        return np.where(begun > 0, so_far[last] + in_last, 0)

    def union(self, other: "Spans") -> "Spans":
        """Return the times that are in one of both."""
        if not len(self) or not len(other):
            return self if len(self) else other
        return Spans.of(
            np.concatenate((self.starts, other.starts)), np.concatenate((self.ends, other.ends))
        )

    def intersection(self, other: "Spans") -> "Spans":
        """Return the times that are in both."""
        if not len(self) or not len(other):
            return other if len(self) else self
        edges = np.unique(np.concatenate((self.starts, self.ends, other.starts, other.ends)))
        starts, ends = edges[:-1], edges[1:]
        inside = self.covers(starts, ends) & other.covers(starts, ends)
        return Spans.of(starts[inside], ends[inside])

    def without(self, other: "Spans") -> "Spans":
        """Return the times that are in these and not in the others."""
        if not len(self) or not len(other):
            return self
        edges = np.unique(np.concatenate((self.starts, self.ends, other.starts, other.ends)))
        starts, ends = edges[:-1], edges[1:]
        inside = self.covers(starts, ends) & ~other.covers(starts, ends)
        return Spans.of(starts[inside], ends[inside])

    def within(self, start: int, end: int) -> "Spans":
        """Return the times that are in start < t <= end."""
        return Spans.of(np.maximum(self.starts, start), np.minimum(self.ends, end))

    def joined(self, apart: int) -> "Spans":
        """Return the spans with those joined that are at most `apart` from each other."""
        joined = Spans.of(self.starts, self.ends + apart)
        return Spans(joined.starts, joined.ends - apart)

    def covers(self, starts: Ints, ends: Ints) -> Mask:
        """Return for each span (n) whether all of it is in these."""
        inside: Mask = self.length_until(ends) - self.length_until(starts) == ends - starts
        return inside
