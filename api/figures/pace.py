"""The rate at which messages are taken in, from looks at the offsets in PostgreSQL. Pure."""

from collections import deque
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import NamedTuple

OVER = timedelta(seconds=60)
# A rate over less time than this means nothing.
_LEAST_S = 5.0

Partition = tuple[str, int]


class Look(NamedTuple):
    """The next offset of each partition at a time."""

    at: datetime
    offsets: Mapping[Partition, int]


class Rate(NamedTuple):
    """Messages a second, and over how many seconds."""

    per_second: float
    over_s: float


class Pace:
    """The looks of the last minute."""

    def __init__(self) -> None:
        self._looks: deque[Look] = deque()

    def add(self, look: Look) -> None:
        """Add a look; a new partition, or an offset that was set back, starts over."""
        if self._looks:
            last = self._looks[-1]
            if look.at <= last.at:
                return
            if look.offsets.keys() != last.offsets.keys() or any(
                look.offsets[key] < offset for key, offset in last.offsets.items()
            ):
                self._looks.clear()
        self._looks.append(look)
        while len(self._looks) > 1 and self._looks[1].at <= look.at - OVER:
            self._looks.popleft()

    def clear(self) -> None:
        """Forget all looks, because the next one may not follow on them."""
        self._looks.clear()

    def rate(self) -> Rate | None:
        """Return the rate over the last minute or the known part of it, None for a short part."""
        if not self._looks:
            return None
        first, last = self._looks[0], self._looks[-1]
        seconds = (last.at - first.at).total_seconds()
        if seconds <= _LEAST_S:
            return None
        messages = sum(last.offsets.values()) - sum(first.offsets.values())
        return Rate(messages / seconds, seconds)
