"""How long one client has kept the server waiting. Pure.

Time is added up look by look, see `Crowd`.
"""

from enum import StrEnum
from typing import NamedTuple

_LEAST_TAKEN = 16 << 10


class Owed(StrEnum):
    """What the client owes."""

    HEAD = "the head of a request"
    BODY = "its body"
    REQUEST = "the next request"
    LEAVING = "to take the server's last answer"


class Wait(NamedTuple):
    """What is owed, and how many messages have begun: each of them starts a new wait."""

    what: Owed
    messages: int


class Waiting:
    """For how many seconds the client has owed the same."""

    def __init__(self) -> None:
        self._wait: Wait | None = None
        self.seconds = 0.0

    def look(self, wait: Wait | None, seconds: float) -> float:
        """Note what is owed, `seconds` after the last look; return for how long it has been."""
        if wait is None or wait != self._wait:
            self._wait, self.seconds = wait, 0.0
        else:
            self.seconds += seconds
        return self.seconds


class Sending:
    """For how many seconds the client has taken less than 16 KiB of what is sent to it."""

    def __init__(self) -> None:
        self._unsent = 0
        self.seconds = 0.0

    def look(self, unsent: int, seconds: float) -> float:
        """Note the unsent bytes, `seconds` after the last look; return for how long it has been."""
        if not unsent or not self._unsent or unsent <= self._unsent - _LEAST_TAKEN:
            self._unsent, self.seconds = unsent, 0.0
        else:
            self._unsent = max(self._unsent, unsent)
            self.seconds += seconds
        return self.seconds

    def resume(self) -> None:
        """Note that the client has taken enough for the answer to go on."""
        self._unsent = 0
