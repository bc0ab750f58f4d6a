"""A batch: the records of one partition that wait for their flush, and when they are due. Pure."""

from dataclasses import dataclass, field
from typing import Self

from consumer.kafka.records import Records
from consumer.settings import FlushSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchPolicy:
    """A batch is due when it holds this many rows or bytes, or is this many seconds old."""

    max_rows: int
    max_bytes: int
    max_age: float

    @classmethod
    def of(cls, settings: FlushSettings) -> Self:
        return cls(
            max_rows=settings.batch_max_rows,
            max_bytes=settings.batch_max_bytes,
            max_age=settings.flush_interval_ms / 1000,
        )


@dataclass(slots=True)
class Batch:
    """Consecutive records of one partition; `opened_at` is the arrival of the first, in seconds."""

    records: Records = field(default_factory=Records)
    opened_at: float = 0.0

    def add(self, records: Records, *, now: float) -> None:
        if not self.records:
            self.opened_at = now
        self.records.extend(records)

    def __len__(self) -> int:
        return len(self.records)

    @property
    def footprint(self) -> int:
        """The bytes in memory that it takes, about."""
        return self.records.footprint

    @property
    def next_offset(self) -> int:
        """The offset after the last record; raises IndexError if there is none."""
        return self.records.offsets[-1] + 1

    def is_full(self, policy: BatchPolicy) -> bool:
        return len(self.records) >= policy.max_rows or self.footprint >= policy.max_bytes

    def is_due(self, policy: BatchPolicy, *, now: float) -> bool:
        if not self.records:
            return False
        return self.is_full(policy) or now - self.opened_at >= policy.max_age
