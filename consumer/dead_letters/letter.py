"""A dead letter, as a flush finds it. Pure."""

from typing import NamedTuple

from telemetry.reasons import Reason


class DeadLetter(NamedTuple):
    """A record that is refused: its place in the batch, the reason, one line of detail."""

    position: int
    reason: Reason
    detail: str
