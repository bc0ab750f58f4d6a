"""The kinds of messages, and where each is expected to end."""

from enum import StrEnum
from typing import NamedTuple

from telemetry.reasons import Reason


class Outcome(StrEnum):
    """Where a message ends if everything sent before it arrived."""

    STORED = "stored"
    DUPLICATE = "duplicate"
    DEAD_LETTERED = "dead_lettered"


class Kind(NamedTuple):
    """One kind of message.

    `canonical`: the value is the contract's form of the reading. It can be written again from the
    fields, so the ledger does not keep its bytes.
    """

    name: str
    expected: Outcome = Outcome.STORED
    reason: Reason | None = None
    canonical: bool = False


READING = Kind("reading", canonical=True)
LATE = Kind("late", canonical=True)
DUPLICATE = Kind("duplicate", Outcome.DUPLICATE, canonical=True)
REWRITTEN_DUPLICATE = Kind("duplicate_rewritten", Outcome.DUPLICATE)
CONFLICT = Kind("conflict", Outcome.DEAD_LETTERED, Reason.CONFLICTING_DUPLICATE)
RECORDED_LINE = Kind("recorded_line")


def malformed(name: str, reason: Reason) -> Kind:
    return Kind(f"malformed_{name}", Outcome.DEAD_LETTERED, reason)


def unusual(name: str) -> Kind:
    return Kind(f"unusual_{name}")
