"""The broker's reports: which messages it acknowledged, at which offsets."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from confluent_kafka import KafkaError, Message

Reporter = Callable[[KafkaError | None, Message | None], None]
"""Takes one message's report; librdkafka calls it once."""

NO_OFFSET = -1
"""The broker has the message but did not report its offset: it was a repeated send."""

_AMBIGUOUS = {KafkaError.REQUEST_TIMED_OUT, KafkaError.NOT_ENOUGH_REPLICAS_AFTER_APPEND}


class Delivery(StrEnum):
    """What is known about one message."""

    ACKNOWLEDGED = "acknowledged"
    FAILED = "failed"  # it is not in the topic
    UNKNOWN = "unknown"  # it may be in the topic or not


@dataclass(slots=True, kw_only=True)
class Tally:
    """The number of messages sent, and of those in each state of delivery."""

    sent: int = 0
    acknowledged: int = 0
    failed: int = 0
    unknown: int = 0

    @property
    def waiting(self) -> int:
        return self.sent - self.acknowledged - self.failed - self.unknown

    @property
    def complete(self) -> bool:
        """Return whether something was sent and all of it was acknowledged."""
        return 0 < self.sent == self.acknowledged

    def count(self, error: KafkaError | None, _message: Message | None) -> None:
        """Count one report."""
        if error is None:
            self.acknowledged += 1
        elif delivery_of(error) is Delivery.FAILED:
            self.failed += 1
        else:
            self.unknown += 1


def delivery_of(error: KafkaError) -> Delivery:
    """Return what an error means for the message.

    FAILED is certain: the broker refused the message, or the local queue had no room for it.
    """
    code = error.code()
    refused = code > 0 and code not in _AMBIGUOUS
    return Delivery.FAILED if refused or code == KafkaError._QUEUE_FULL else Delivery.UNKNOWN


class Reports:
    """The reports of one part of a ledger, by row; they may arrive in any order."""

    __slots__ = ("_tally", "errors", "offsets", "waiting")

    def __init__(self, tally: Tally) -> None:
        self._tally = tally
        self.offsets: list[int | None] = []
        self.errors: dict[int, Delivery] = {}
        self.waiting = 0

    def expect(self, count: int) -> int:
        """Add rows for messages to come, and return the first row."""
        first = len(self.offsets)
        self.offsets += [None] * count
        self.waiting += count
        return first

    def take(self, row: int, error: KafkaError | None, message: Message | None) -> None:
        """Store the report on the message in this row."""
        self.waiting -= 1
        self._tally.count(error, message)
        if error is not None:
            self.errors[row] = delivery_of(error)
        elif message is not None:
            offset = message.offset()
            self.offsets[row] = NO_OFFSET if offset is None or offset < 0 else offset

    def deliveries(self) -> list[Delivery]:
        """Return what is known about every row by now."""
        return [
            self.errors.get(row, Delivery.UNKNOWN) if offset is None else Delivery.ACKNOWLEDGED
            for row, offset in enumerate(self.offsets)
        ]
