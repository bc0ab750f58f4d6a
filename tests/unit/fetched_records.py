"""Records of fetched bytes, good ones and odd ones, in every codec."""

from collections.abc import Sequence

from aiokafka import TopicPartition

from consumer.kafka.batches import Batches
from consumer.kafka.fetched import PartitionRecords
from consumer.kafka.records import Record

GOOD = (b"k", b"value", ())
ODD = (b"k", b"value", ((b"n\xffm", b"1"), (b"\xed\xa0\x80", None), (b"utf-8 \xc3\xa9", b"")))
ODD_NAMES = [b"n\xffm", b"\xed\xa0\x80", b"utf-8 \xc3\xa9"]
CODECS = {"none": 0, "gzip": 1, "snappy": 2, "lz4": 3, "zstd": 4}


def records_of(
    data: bytes, *, offset: int = 0, aborted: Sequence[tuple[int, int]] = ()
) -> list[Record]:
    """Return the records of a fetch from this offset.

    `aborted` are transactions: their producer and first offset.
    """
    place = TopicPartition("telemetry.meter", 0)
    runs = PartitionRecords(place, Batches(data), aborted, offset, None, None, True, 1)
    return [record for run in runs for record in run]
