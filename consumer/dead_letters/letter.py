"""A dead letter, as decoding finds it. Pure."""

from typing import NamedTuple

from telemetry.reasons import Reason


class DeadLetter(NamedTuple):
    """A record that is no reading: its place in the batch, the reason, one line of detail."""

    position: int
    reason: Reason
    detail: str
