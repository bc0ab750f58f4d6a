"""A flush: what the sink stores in one transaction."""

from dataclasses import dataclass, field

from consumer.flush.copies import Copies
from consumer.flush.decode import Decoded
from consumer.kafka.records import Records
from telemetry.streams import Stream


@dataclass(frozen=True, slots=True, kw_only=True)
class Flush:
    """A decoded batch of one partition, and the offsets that it covers.

    It covers them from `believed`, which this replica takes for the stored offset, up to
    `next_offset`. `copies` says whether the partition has lately held copies of stored readings.
    """

    consumer_group: str
    stream: Stream
    partition: int
    believed: int
    next_offset: int
    records: Records
    decoded: Decoded
    copies: Copies = field(default_factory=Copies)
