"""Batches of records as a broker keeps them, with headers' names of any bytes.

Kafka's clients take a header's name as text; a broker takes any bytes.
"""

import struct
from collections.abc import Sequence

from aiokafka import AIOKafkaProducer
from aiokafka.record.default_records import _DefaultRecordBatchBuilderPy

# (key, value, headers), a header being (name, value).
Sent = tuple[bytes | None, bytes | None, tuple[tuple[bytes, bytes | None], ...]]


class _Name(str):
    """A header's name that is encoded as these bytes."""

    __slots__ = ("_raw",)
    _raw: bytes

    def __new__(cls, raw: bytes) -> "_Name":
        name = super().__new__(cls, raw.decode(errors="replace"))
        name._raw = raw
        return name

    def encode(self, *_: str) -> bytes:
        return self._raw


def batch_of(
    records: Sequence[Sent], *, codec: int = 0, offset: int = 0, producer: int | None = None
) -> bytes:
    """Return the batch of these records, compressed by Kafka's number of the codec.

    With a `producer`, which is its id, the batch is of a transaction.
    """
    builder = _builder(codec, producer)
    for place, (key, value, headers) in enumerate(records):
        names = [(_Name(name), held) for name, held in headers]
        builder.append(place, timestamp=None, key=key, value=value, headers=names)
    return struct.pack(">q", offset) + bytes(builder.build())[8:]


async def send_batch(
    producer: AIOKafkaProducer, topic: str, partition: int, records: Sequence[Sent], codec: int = 0
) -> int:
    """Send the records as one batch and return the offset of the first."""
    batch = producer.create_batch()
    batch._builder = _builder(codec, None)
    for key, value, headers in records:
        names = [(_Name(name), held) for name, held in headers]
        batch.append(key=key, value=value, timestamp=None, headers=names)
    acknowledged = await producer.send_batch(batch, topic, partition=partition)
    return int((await acknowledged).offset)


def _builder(codec: int, producer: int | None) -> _DefaultRecordBatchBuilderPy:
    return _DefaultRecordBatchBuilderPy(
        magic=2,
        compression_type=codec,
        is_transactional=int(producer is not None),
        producer_id=-1 if producer is None else producer,
        producer_epoch=-1 if producer is None else 0,
        base_sequence=-1 if producer is None else 0,
        batch_size=2**31,
    )
