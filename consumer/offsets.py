"""Kafka's offsets, and the bounds of a partition's log. Pure."""

from dataclasses import dataclass

from aiokafka import TopicPartition

Offsets = dict[TopicPartition, int]


@dataclass(frozen=True, slots=True)
class Bounds:
    """Kafka's log of a partition: its earliest offset, and the one after its last.

    If transactions wrote, some offsets between hold a transaction's mark or an aborted message.
    """

    earliest: int
    end: int

    def behind(self, stored: int | None) -> int:
        """Return how many offsets there are to read from the stored one on."""
        return max(0, self.end - max(self.earliest, stored or 0))

    def state(self, stored: int | None) -> str:
        """Return in words whether the stored offset fits."""
        if stored is None:
            return "never read"
        if stored < self.earliest:
            return f"behind the log start: {self.earliest - stored:,} lost"
        return "beyond the end" if stored > self.end else "fits"
