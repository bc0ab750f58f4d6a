"""Where messages are entered before they are sent: a ledger, or a count alone."""

from typing import Protocol

from producer_sim.devices.records import Records
from producer_sim.ledger.reports import Reporter, Tally


class Book(Protocol):
    """Where messages are entered before they are sent."""

    tally: Tally

    def enter(self, records: Records, partitions: list[int], sent_at: int) -> list[Reporter]:
        """Record messages about to be sent, and return what takes the report on each."""

    def settle(self, now_us: int) -> None:
        """Store what is complete."""

    def note(self, **more: object) -> None:
        """Add to the metadata."""

    def close(self) -> None:
        """Store the rest; messages without a report count as unknown. May be repeated."""


class Unrecorded:
    """Counts messages, and stores nothing."""

    def __init__(self) -> None:
        self.tally = Tally()

    def enter(self, records: Records, _partitions: list[int], _sent_at: int) -> list[Reporter]:
        self.tally.sent += len(records)
        return [self.tally.count] * len(records)

    def settle(self, _now_us: int) -> None:
        """Do nothing: there is nothing to store."""

    def note(self, **_more: object) -> None:
        """Do nothing: there is no metadata."""

    def close(self) -> None:
        self.tally.unknown += self.tally.waiting
