"""A batch's headers: no more of them are read at a time than memory has room for."""

import pytest
from aiokafka import TopicPartition

import consumer.source  # noqa: F401  it gives aiokafka's parsers our decoders
from consumer.fetched import Batches, PartitionRecords, Unreadable
from consumer.headers import MOST_HEADERS, has_too_many
from consumer.unpacking import ROOM
from tests.record_batches import batch_of
from tests.unit.test_fetched import CODECS, GOOD, records_of

PLACE = TopicPartition("telemetry.meter", 0)
by_codec = pytest.mark.parametrize("codec", CODECS.values(), ids=CODECS)


def with_headers(*counts: int, codec: int, offset: int = 0) -> bytes:
    """Return a batch whose records have so many headers of no bytes."""
    return batch_of(
        [(b"k", b"v", ((b"", None),) * count) for count in counts], codec=codec, offset=offset
    )


@by_codec
@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_record_of_more_headers_than_anybody_sends_is_not_read(codec: int, place: int) -> None:
    counts = [0, 0, 0]
    counts[place] = 40_000
    with pytest.raises(Unreadable, match="a record has over 1,000 headers") as caught:
        records_of(batch_of([GOOD]) + with_headers(*counts, codec=codec, offset=1))
    assert (caught.value.offset, caught.value.end) == (1, 4)


@by_codec
def test_records_of_as_many_headers_as_may_be_come_a_few_at_a_time(codec: int) -> None:
    data = with_headers(*[0, *[MOST_HEADERS] * 100], codec=codec)
    runs = list(PartitionRecords(PLACE, Batches(data), [], 0, None, None, True, 1))
    assert [record.offset for run in runs for record in run] == list(range(101))
    assert sum(len(record.headers) for run in runs for record in run) == 100 * MOST_HEADERS
    assert max(map(len, runs)) <= 24


def test_a_long_record_of_few_headers_is_read() -> None:
    value = bytes(300_000)
    data = batch_of([(value, value, ((b"n", value),)), (None, value, ())], codec=CODECS["zstd"])
    assert [len(record.headers) for record in records_of(data)] == [1, 0]


def test_an_error_that_is_kept_keeps_nothing_unpacked() -> None:
    sent = with_headers(600_000, codec=CODECS["zstd"])
    with pytest.raises(Unreadable) as caught:
        next(PartitionRecords(PLACE, Batches(sent), [], 0, None, None, True, 1))
    kept = caught.value.with_traceback(None)
    assert ROOM.held == 0
    assert kept.reason == "a record has over 1,000 headers"


@pytest.mark.parametrize("length", [b"\x04", b"\x05", b"\x80\x08"], ids=["2", "-3", "512"])
def test_a_length_that_lies_hides_no_headers(length: bytes) -> None:
    # Length, attributes, time, offset, key, value, 1,000,000 headers.
    record = length + b"\0\0\0\2k\2v" + b"\x80\x89\x7a" + b"\0\1" * 1_000_000
    assert has_too_many(record)
    honest = b"\x10\0\0\0\2k\2v\0"
    assert has_too_many(honest * 20_000 + record)
    assert not has_too_many(honest * 20_000)
