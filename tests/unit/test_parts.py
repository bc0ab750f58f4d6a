"""Large batches come in parts: no more headers are read than memory has room for."""

import struct
import tracemalloc

import pytest
from aiokafka import TopicPartition
from aiokafka.codec import zstd_encode
from aiokafka.record.util import calc_crc32c, encode_varint

from consumer.kafka.aiokafka_patches import install
from consumer.kafka.batches import Batches
from consumer.kafka.fetched import PartitionRecords
from consumer.kafka.parts import HEAD, MOST_HEADERS, PART_BYTES, parts_of
from consumer.kafka.room import ROOM
from consumer.kafka.unreadable import Unreadable
from consumer.settings import UNPACKED_MAX_BYTES
from tests.record_batches import Sent, batch_of
from tests.unit.fetched_records import CODECS, GOOD, records_of

PLACE = TopicPartition("telemetry.meter", 0)
by_codec = pytest.mark.parametrize("codec", CODECS.values(), ids=CODECS)


@pytest.fixture(autouse=True)
def our_decoders() -> None:
    install()


def with_headers(*counts: int, codec: int, offset: int = 0) -> bytes:
    """Return a batch whose records have so many headers of no bytes."""
    return batch_of(
        [(b"k", b"v", ((b"", None),) * count) for count in counts], codec=codec, offset=offset
    )


def with_no_end_of_headers(*, codec: int) -> bytes:
    """Return a batch of one record with 600,000 headers of no bytes, which is written at once."""
    record = b"\0\0\0\2k\2v" + varint(600_000) + b"\0\1" * 600_000
    return forged(varint(len(record)) + record, 1, codec=codec)


def varint(number: int) -> bytes:
    written = bytearray()
    encode_varint(number, written.append)
    return bytes(written)


@by_codec
@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_record_of_too_many_headers_is_not_read(codec: int, place: int) -> None:
    counts = [0, 0, 0]
    counts[place] = 40_000
    with pytest.raises(Unreadable, match="a record has over 1,000 headers") as caught:
        records_of(batch_of([GOOD]) + with_headers(*counts, codec=codec, offset=1))
    assert (caught.value.offset, caught.value.end) == (1 + place, 4)


@by_codec
def test_records_of_as_many_headers_as_may_be_come_a_few_at_a_time(codec: int) -> None:
    data = with_headers(*[0, *[MOST_HEADERS] * 100], codec=codec)
    runs = list(PartitionRecords(PLACE, Batches(data), [], 0, None, None, True, 1))
    assert [record.offset for run in runs for record in run] == list(range(101))
    assert sum(len(record.headers) for run in runs for record in run) == 100 * MOST_HEADERS
    # A part holds so many bytes, and a header takes two.
    assert max(sum(len(record.headers) for record in run) for run in runs) <= PART_BYTES // 2


def test_a_long_record_of_few_headers_is_read() -> None:
    value = bytes(300_000)
    data = batch_of([(value, value, ((b"n", value),)), (None, value, ())], codec=CODECS["zstd"])
    assert [len(record.headers) for record in records_of(data)] == [1, 0]


def test_an_error_that_is_kept_keeps_nothing_unpacked() -> None:
    sent = with_no_end_of_headers(codec=CODECS["zstd"])
    with pytest.raises(Unreadable) as caught:
        next(PartitionRecords(PLACE, Batches(sent), [], 0, None, None, True, 1))
    kept = caught.value.with_traceback(None)
    assert ROOM.held == 0
    assert kept.reason == "a record has over 1,000 headers"


def test_a_record_of_too_many_headers_is_refused_before_they_fill_the_memory() -> None:
    """Uncompressed: the room that a batch is unpacked into would count, too."""
    sent = with_no_end_of_headers(codec=CODECS["none"])
    tracemalloc.start()
    with pytest.raises(Unreadable, match="a record has over 1,000 headers"):
        records_of(sent)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 30_000_000, most


HONEST = b"\x10\0\0\0\2k\2v\0"  # length, attributes, time, offset, key, value, no headers


@pytest.mark.parametrize("codec", [CODECS["none"], CODECS["zstd"]])
@pytest.mark.parametrize("length", [b"\x04", b"\x05", b"\x10", b"\x80\x08"])
def test_a_length_that_lies_hides_no_headers(length: bytes, codec: int) -> None:
    """Whatever comes of it, it is not a million headers."""
    lies = length + b"\0\0\0\2k\2v" + b"\x80\x89\x7a" + b"\0\1" * 1_000_000
    room = UNPACKED_MAX_BYTES if codec else 0  # which is taken at once
    for records, count in ((lies, 1), (HONEST * 20_000 + lies, 20_001)):
        sent = forged(records, count, codec=codec)
        tracemalloc.start()
        with pytest.raises(Unreadable):
            list(PartitionRecords(PLACE, Batches(sent), [], 0, None, None, True, 1))
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert most - room < 30_000_000, most


@pytest.mark.parametrize("codec", [CODECS["none"], CODECS["zstd"]])
@pytest.mark.parametrize("odd", [b"\2h", b"\2\xff"], ids=["parser in C", "parser in Python"])
def test_a_key_that_claims_a_gigabyte_is_refused_and_crashes_nothing(
    odd: bytes, codec: int
) -> None:
    """A header's name that is not UTF-8 brings the records to the parser in Python."""
    named = b"\0\0\0\2k\2v\2" + odd + b"\1"
    lies = b"\0\0\2" + b"\x80\x80\x80\x80\x08" + b"v\0"
    data = b"".join(bytes([2 * len(one)]) + one for one in (named, lies))
    with pytest.raises(Unreadable):
        records_of(forged(data, 2, codec=codec))


def forged(records: bytes, count: int, *, codec: int) -> bytes:
    """Return a batch of these bytes, which are so many records by what it says."""
    batch = bytearray(batch_of([GOOD])[:HEAD])
    batch += zstd_encode(records) if codec else records
    batch[22] = codec  # set here: what is so short is not compressed
    struct.pack_into(">i", batch, 8, len(batch) - 12)
    struct.pack_into(">i", batch, 57, count)
    struct.pack_into(">I", batch, 17, calc_crc32c(bytes(batch[21:])))
    return bytes(batch)


@by_codec
def test_parts_are_the_records_of_the_whole(codec: int) -> None:
    sent: list[Sent] = [(b"k", bytes(n % 300), ((b"h", b"v"),) * (n % 3)) for n in range(5_000)]
    sent[77] = (None, bytes(3 * PART_BYTES), ())
    whole = records_of(batch_of(sent, codec=codec))
    assert [(one.key, one.value, len(one.headers)) for one in whole] == [
        (key, value, len(headers)) for key, value, headers in sent
    ]
    assert [one.offset for one in whole] == list(range(5_000))


def test_a_number_of_records_that_lies_is_refused() -> None:
    for count in (19_999, 20_001):
        with pytest.raises(Unreadable, match="another number of records"):
            records_of(forged(HONEST * 20_000, count, codec=0))
    whole = forged(HONEST * 20_000, 20_000, codec=0)
    parts = list(parts_of(whole, whole[HEAD:]))
    assert [part.is_last for part in parts] == [False, False, True]
    assert all(len(part.batch) <= HEAD + PART_BYTES for part in parts)
