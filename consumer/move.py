"""A move of a partition to another offset, and what it skips and repeats. Pure."""

from dataclasses import dataclass

from consumer.offsets import Bounds


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """An operator's move of a partition from the stored offset to another one."""

    partition: int
    bounds: Bounds
    stored: int | None
    to: int

    @property
    def skipped(self) -> int:
        """How many offsets the group will never read, whether Kafka still has them or not."""
        return max(0, self.to - (self.bounds.earliest if self.stored is None else self.stored))

    @property
    def read_again(self) -> int:
        """How many offsets are read a second time: counted as duplicates, not stored twice."""
        return max(0, min(self.stored or 0, self.bounds.end) - self.to)
