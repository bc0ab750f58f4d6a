"""The records of one partition that wait for their flush, and when they stop waiting. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

# What a buffered record costs beyond its own bytes: the tuple, its integers and the headers of
# its key and value objects, as measured by sys.getsizeof on 64-bit CPython.
RECORD_OVERHEAD_BYTES = 250


class Record(NamedTuple):
    """One record as Kafka holds it; `timestamp_ms` is None or negative where there is none."""

    offset: int
    timestamp_ms: int | None
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...]

    def footprint(self) -> int:
        """Return the bytes that the record takes up in memory, about."""
        size = RECORD_OVERHEAD_BYTES + len(self.value or b"") + len(self.key or b"")
        if self.headers:
            size += sum(100 + len(name) + len(value or b"") for name, value in self.headers)
        return size


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchPolicy:
    """A batch is ready when it holds this many rows or bytes, or is this many seconds old."""

    max_rows: int
    max_bytes: int
    max_age: float


@dataclass(slots=True)
class Batch:
    """Consecutive records of one partition; `opened_at` is the arrival of the first, in seconds."""

    records: list[Record] = field(default_factory=list)
    footprint: int = 0
    opened_at: float = 0.0

    def add(self, records: Iterable[Record], *, now: float) -> None:
        if not self.records:
            self.opened_at = now
        for record in records:
            self.records.append(record)
            self.footprint += record.footprint()

    def __len__(self) -> int:
        return len(self.records)

    @property
    def next_offset(self) -> int:
        """The offset after the last record; only a batch that holds one has it."""
        return self.records[-1].offset + 1

    def is_full(self, policy: BatchPolicy) -> bool:
        return len(self.records) >= policy.max_rows or self.footprint >= policy.max_bytes

    def is_due(self, policy: BatchPolicy, *, now: float) -> bool:
        if not self.records:
            return False
        return self.is_full(policy) or now - self.opened_at >= policy.max_age
