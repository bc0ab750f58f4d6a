"""A partition that this replica owns: what is stored of it, what waits, what is on its way."""

from dataclasses import dataclass, field

from aiokafka import TopicPartition

from consumer.age import Age
from consumer.batch import Batch
from consumer.flight import Flight
from consumer.flush.copies import Copies
from consumer.kafka.records import Record
from consumer.postgres.refusals import Work
from telemetry.streams import Stream


@dataclass(slots=True, eq=False)
class Owned:
    """One partition, from its opening until it is revoked or another replica takes it.

    `stored` is the next offset to store. `stored_up_to_ms` is Kafka's time of the last record that
    this replica stored, negative if there is none. `batch` fills while `flight` is flushed.
    `has_more` means that more of it has been fetched than was handed out. `refusals` counts the
    flushes in a row that PostgreSQL refused; the next may begin at `retry_at`, in seconds.
    """

    partition: TopicPartition
    stream: Stream
    stored: int
    age: Age
    stored_up_to_ms: int = -1
    batch: Batch = field(default_factory=Batch)
    flight: Flight | None = None
    has_more: bool = False
    copies: Copies = field(default_factory=Copies)
    refusals: int = 0
    retry_at: float = 0.0

    @property
    def work(self) -> Work:
        """The name under which a refusal of its flushes is logged and counted."""
        return Work("flush", self.stream.topic, stores=True)

    @property
    def is_under_way(self) -> bool:
        """Return whether a flush of it is being tried now."""
        return self.flight is not None and self.flight.is_under_way

    @property
    def is_contended(self) -> bool:
        """Return whether another session's lock was in the way of its last try."""
        return self.flight is not None and self.flight.conflicts > 0

    @property
    def waiting(self) -> Batch:
        """The batch that is being flushed, or else the one that is flushed next."""
        return self.batch if self.flight is None else self.flight.batch

    @property
    def oldest_waiting(self) -> Record | None:
        records = self.waiting.records
        return records[0] if records else None

    @property
    def footprint(self) -> int:
        """The bytes in memory that its records take, about."""
        return self.batch.footprint + (self.flight.batch.footprint if self.flight else 0)
