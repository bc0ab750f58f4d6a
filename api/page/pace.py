"""How fast messages are taken in: the offsets in PostgreSQL, looked at every few seconds. Pure."""

from collections import deque
from datetime import datetime, timedelta
from typing import NamedTuple

OVER = timedelta(seconds=60)


class Look(NamedTuple):
    """How many messages a consumer group had come past."""

    at: datetime
    group: str
    messages: int


class Rate(NamedTuple):
    """Messages a second, and over how many seconds."""

    per_second: float
    over_s: float


class Pace:
    """The looks of the last minute."""

    def __init__(self) -> None:
        self._looks: deque[Look] = deque()

    def add(self, look: Look) -> None:
        """Take a look; another group, or offsets that were set back, begin anew."""
        if self._looks and (
            look.group != self._looks[-1].group or look.messages < self._looks[-1].messages
        ):
            self._looks.clear()
        self._looks.append(look)
        while len(self._looks) > 1 and self._looks[1].at <= look.at - OVER:
            self._looks.popleft()

    def rate(self) -> Rate | None:
        """Return the rate over the last minute, or as much of it as is known."""
        if not self._looks:
            return None
        first, last = self._looks[0], self._looks[-1]
        seconds = (last.at - first.at).total_seconds()
        return Rate((last.messages - first.messages) / seconds, seconds) if seconds > 0 else None
