"""A partition that this replica owns: what is stored of it, what waits, what is in flight."""

from dataclasses import dataclass, field

from aiokafka import TopicPartition

from consumer.age import Age
from consumer.batch import Batch
from consumer.flush.history import Copies
from consumer.flush.sink import Flush
from consumer.kafka.records import Record
from consumer.postgres.refusals import Work
from telemetry.streams import Stream


@dataclass(slots=True, eq=False)
class Owned:
    """`flushing` is the batch whose flush has begun, `decoded` the same once it is decoded.

    `stored_up_to_ms` is the time of the last record that this replica stored, as Kafka has it,
    negative where there is none.
    """

    partition: TopicPartition
    stream: Stream
    stored: int
    age: Age
    stored_up_to_ms: int = -1
    batch: Batch = field(default_factory=Batch)
    flushing: Batch | None = None
    decoded: Flush | None = None
    in_flight: bool = False
    has_more: bool = False
    copies: Copies = field(default_factory=Copies)
    conflicts: int = 0
    refusals: int = 0
    retry_at: float = 0.0

    @property
    def work(self) -> Work:
        """What a refusal of its flushes is told as."""
        return Work("flush", self.stream.topic, stores=True)

    def is_let_in(self, now: float) -> bool:
        """Say whether more may be read: of what is refused, no more than a try needs."""
        return now >= self.retry_at and not (self.refusals and self.footprint)

    @property
    def waiting_since(self) -> float:
        return (self.flushing or self.batch).opened_at

    @property
    def footprint(self) -> int:
        """The bytes of what is held of it."""
        return self.batch.footprint + (self.flushing.footprint if self.flushing else 0)

    @property
    def oldest_waiting(self) -> Record | None:
        waiting = self.flushing or self.batch
        return waiting.records[0] if waiting.records else None
