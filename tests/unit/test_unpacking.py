"""Compressed batches: the bytes that aiokafka's own decoders make of them, up to a limit."""

import gzip
import struct
from collections.abc import Callable, Iterator

import aiokafka.codec as theirs
import cramjam
import numpy as np
import pytest
from aiokafka import TopicPartition
from aiokafka.consumer.subscription_state import ManualSubscription
from aiokafka.record.legacy_records import LegacyRecordBatchBuilder
from aiokafka.record.util import calc_crc32c
from hypothesis import given, settings
from hypothesis import strategies as st

from consumer.kafka import unpacking
from consumer.kafka.aiokafka_patches import install
from consumer.kafka.batches import Batches
from consumer.kafka.fetched import FetchResult, PartitionRecords
from consumer.kafka.room import ROOM, NoRoom, TooLarge
from consumer.kafka.unpacking import Malformed
from consumer.kafka.unreadable import Unreadable
from consumer.settings import SMALL_BYTES
from tests.record_batches import batch_of
from tests.unit.fetched_records import GOOD, ODD, records_of

MIB = 1 << 20
PLACE = TopicPartition("telemetry.meter", 0)
OTHER = TopicPartition("telemetry.meter", 1)
CODECS = {"gzip": 1, "snappy": 2, "lz4": 3, "zstd": 4}
by_codec = pytest.mark.parametrize("codec", CODECS.values(), ids=CODECS)


@pytest.fixture(autouse=True)
def room() -> Iterator[None]:
    """A room for 8 MiB, empty at the begin and at the end, that aiokafka's parsers unpack into."""
    install()
    before, ROOM.limit, ROOM.reader = ROOM.limit, 8 * MIB, PLACE
    yield
    ROOM.keep_waiting([])
    assert ROOM.held == 0
    ROOM.limit = before


def zstd_of_unknown_size(data: bytes) -> bytes:
    compressor = cramjam.zstd.Compressor()
    compressor.compress(data)
    return bytes(compressor.finish())


def lz4_of_linked_blocks(data: bytes) -> bytes:
    compressor = cramjam.lz4.Compressor(content_checksum=True, block_linked=True)
    compressor.compress(data)
    return bytes(compressor.finish())


def plain_snappy(data: bytes) -> bytes:
    return bytes(theirs.snappy_encode(data, xerial_compatible=False))


# By name: how it is packed, and which decoder takes it.
PACKED: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "gzip": (theirs.gzip_encode, "gzip_decode"),
    "gzip, no compression": (lambda data: gzip.compress(data, 0), "gzip_decode"),
    "gzip, padded": (lambda data: gzip.compress(data) + bytes(9), "gzip_decode"),
    "snappy of Java's": (theirs.snappy_encode, "snappy_decode"),
    "snappy": (plain_snappy, "snappy_decode"),
    "lz4": (theirs.lz4_encode, "lz4_decode"),
    "lz4, linked": (lz4_of_linked_blocks, "lz4_decode"),
    "zstd": (theirs.zstd_encode, "zstd_decode"),
    "zstd, size unknown": (zstd_of_unknown_size, "zstd_decode"),
}
by_packing = pytest.mark.parametrize(("pack", "decoder"), PACKED.values(), ids=PACKED)
DATA = st.binary() | st.builds(
    lambda piece, times: piece * times, st.binary(min_size=1, max_size=50), st.integers(1, 40_000)
)


@by_packing
@settings(max_examples=40)
@given(data=DATA, members=st.integers(1, 3))
def test_bytes_are_those_of_aiokafkas_own_decoder(
    pack: Callable[[bytes], bytes], decoder: str, data: bytes, members: int
) -> None:
    packed = pack(data) * (1 if "snappy" in decoder else members)
    ours = getattr(unpacking, decoder)
    try:
        expected = getattr(theirs, decoder)(packed)
    except Exception:  # noqa: BLE001  aiokafka's decoders raise any error
        with pytest.raises(Malformed):
            ours(packed)
    else:
        assert bytes(ours(packed)) == expected


@by_packing
@settings(max_examples=40)
@given(data=DATA, place=st.integers(0), change=st.binary(max_size=1))
def test_bytes_that_have_changed_are_malformed_if_aiokafkas_decoder_fails(
    pack: Callable[[bytes], bytes], decoder: str, data: bytes, place: int, change: bytes
) -> None:
    packed = bytearray(pack(data))
    place %= max(1, len(packed))
    packed[place : place + 1 if change else None] = change  # another byte, or it is cut off
    try:
        expected = getattr(theirs, decoder)(bytes(packed))
    except Exception:  # noqa: BLE001  aiokafka's decoders raise any error
        expected = None
    try:
        ours = bytes(getattr(unpacking, decoder)(bytes(packed)))
    except Malformed:
        ours = None
    except TooLarge:  # a length that has changed
        return
    assert ours == expected


@by_packing
@pytest.mark.parametrize("size", [SMALL_BYTES, SMALL_BYTES + 1, 8 * MIB], ids=str)
def test_up_to_the_limit_is_unpacked(
    pack: Callable[[bytes], bytes], decoder: str, size: int
) -> None:
    unpacked = getattr(unpacking, decoder)(pack(b"x" * size))
    assert ROOM.held == (size if size > SMALL_BYTES else 0)
    assert bytes(unpacked) == b"x" * size


@by_packing
def test_beyond_the_limit_is_too_large(pack: Callable[[bytes], bytes], decoder: str) -> None:
    with pytest.raises(TooLarge, match="over 8,388,608 bytes"):
        getattr(unpacking, decoder)(pack(b"x" * (8 * MIB + 1)))


def test_a_length_that_a_snappy_block_only_claims_takes_no_memory() -> None:
    claimed = b"\xff\xff\xff\xff\x07abc"
    with pytest.raises(TooLarge):
        unpacking.snappy_decode(claimed)
    backwards = theirs.snappy_encode(b"")[:16] + struct.pack("!i", -20) + bytes(20)
    with pytest.raises(Malformed):
        unpacking.snappy_decode(backwards)


@by_codec
@pytest.mark.parametrize("records", [[GOOD], [GOOD, ODD]], ids=["parser in C", "lenient parser"])
def test_records_of_a_large_batch_are_read_and_its_room_is_free_again(
    codec: int, records: list[object]
) -> None:
    sent = [(b"k", b"x" * MIB, ()), *records, (None, b"y" * MIB, ())]
    found = records_of(batch_of(sent, codec=codec))  # type: ignore[arg-type]  # as sent
    assert [(one.key, one.value) for one in found] == [one[:2] for one in sent]  # type: ignore[index]  # all are tuples


@by_codec
def test_a_batch_that_is_too_large_is_reported_with_its_end(codec: int) -> None:
    data = batch_of([GOOD] * 3) + batch_of([(b"k", b"x" * 5 * MIB, ())] * 2, codec=codec, offset=3)
    with pytest.raises(Unreadable, match="unpacks to over 8,388,608 bytes") as error:
        records_of(data)
    assert (error.value.offset, error.value.end, error.value.is_certain) == (3, 5, True)


def test_a_batch_that_is_too_large_without_compression_is_reported_too() -> None:
    with pytest.raises(Unreadable, match="has over 8,388,608 bytes") as error:
        records_of(batch_of([(b"k", b"x" * 9 * MIB, ())], offset=7), offset=7)
    assert (error.value.offset, error.value.end) == (7, 8)


@pytest.mark.parametrize("magic", [0, 1])
@pytest.mark.parametrize("codec", [1, 2, 3])
def test_sets_of_messages_in_the_old_formats_are_read_up_to_the_limit(
    magic: int, codec: int
) -> None:
    if (magic, codec) == (0, 3):
        return  # aiokafka takes no lz4 there
    data = old_set(magic, codec, [b"x" * 1_000, b"y" * 3 * MIB])
    assert [len(one.value or b"") for one in records_of(data)] == [1_000, 3 * MIB]
    with pytest.raises(Unreadable, match="unpacks to over") as error:
        records_of(old_set(magic, codec, [b"x" * 5 * MIB] * 2))
    assert (error.value.offset, error.value.end) == (0, 2)


def old_set(magic: int, codec: int, values: list[bytes]) -> bytes:
    builder = LegacyRecordBatchBuilder(magic, codec, 1 << 30)
    for offset, value in enumerate(values):
        builder.append(offset, 1_000, b"k", value)
    packed = bytearray(builder.build())
    packed[:8] = struct.pack(">q", len(values) - 1)  # as a broker does
    return bytes(packed)


def test_bytes_that_are_not_in_their_codec_are_reported_with_the_end_of_their_batch() -> None:
    """Its producer sent it so: the checksum is right."""
    data = bytearray(batch_of([(b"k", b"x" * 1_000, ())] * 2, codec=CODECS["zstd"]))
    attributes = struct.calcsize(">qiibI")
    struct.pack_into(">h", data, attributes, CODECS["gzip"])
    struct.pack_into(">I", data, attributes - 4, calc_crc32c(bytes(data[attributes:])))
    with pytest.raises(Unreadable) as error:
        records_of(bytes(data))
    assert (error.value.offset, error.value.end, error.value.is_certain) == (0, 2, True)


class Partition:
    """What was fetched of a partition, and the records that were handed out of it."""

    def __init__(self, number: int, data: bytes) -> None:
        self.place = TopicPartition("telemetry.meter", number)
        assignment = ManualSubscription({self.place}).assignment
        assignment.state_value(self.place).seek(0)
        runs = PartitionRecords(self.place, Batches(data), None, 0, None, None, True, 1)
        self._result = FetchResult(
            self.place, assignment=assignment, partition_records=runs, backoff=0
        )
        self.offsets: list[int] = []

    def read(self) -> int:
        """Take what is handed out at once, and return how many records that was."""
        records = self._result.getall()
        self.offsets += records.offsets
        return len(records)

    def has_more(self) -> bool:
        return bool(self._result.has_more())


def of_values(count: int, size: int) -> bytes:
    """Two small batches, and between them a compressed one of so many values."""
    large = batch_of([(b"k", b"x" * size, ())] * count, codec=4, offset=2)
    return batch_of([GOOD] * 2) + large + batch_of([GOOD], offset=2 + count)


async def test_all_partitions_together_have_no_more_unpacked_than_the_limit_and_all_are_read() -> (
    None
):
    partitions = [Partition(number, of_values(100, 60_000)) for number in range(24)]
    for _ in range(10_000):
        waiting = [one for one in partitions if one.has_more()]
        ROOM.keep_waiting([one.place for one in waiting])
        for one in waiting:
            one.read()
            assert ROOM.held <= ROOM.limit
        if not waiting:
            break
    assert all(one.offsets == list(range(103)) for one in partitions)


async def test_what_comes_before_a_batch_without_room_is_handed_out_and_the_rest_later() -> None:
    with_room, without = Partition(0, of_values(100, 60_000)), Partition(1, of_values(100, 60_000))
    assert with_room.read() > 2
    assert without.read() == 2
    assert without.read() == 0
    assert without.has_more()
    while with_room.has_more():
        with_room.read()
    while without.has_more():
        assert without.read()
    assert without.offsets == with_room.offsets == list(range(103))


async def test_small_batches_have_room_always() -> None:
    first, second = Partition(0, of_values(100, 60_000)), Partition(1, of_values(10, 10_000))
    first.read()
    assert ROOM.held
    assert second.read() == 13


def test_the_partition_that_waits_longest_has_the_next_room_and_one_not_read_delays_none() -> None:
    held = unpacking.zstd_decode(theirs.zstd_encode(b"x" * 6 * MIB))
    for place in (OTHER, PLACE):
        ROOM.reader = place
        with pytest.raises(NoRoom):
            unpacking.zstd_decode(theirs.zstd_encode(b"x" * 3 * MIB))
    del held
    with pytest.raises(NoRoom):
        unpacking.zstd_decode(theirs.zstd_encode(b"x" * 3 * MIB))
    ROOM.keep_waiting([PLACE])
    assert len(unpacking.zstd_decode(theirs.zstd_encode(b"x" * 3 * MIB))) == 3 * MIB


def test_what_has_no_room_is_not_unpacked_again_before_there_is_more() -> None:
    held = unpacking.zstd_decode(theirs.zstd_encode(b"x" * 6 * MIB))
    ROOM.reader = OTHER
    with pytest.raises(NoRoom):
        unpacking.zstd_decode(theirs.zstd_encode(b"x" * 3 * MIB))
    assert not ROOM.is_worth_a_try(OTHER)
    del held
    assert ROOM.is_worth_a_try(OTHER)


async def test_records_in_front_of_a_batch_that_is_too_large_are_handed_out_first() -> None:
    partition = Partition(0, of_values(10, MIB))
    assert partition.read() == 2
    for _ in range(2):
        with pytest.raises(Unreadable) as error:
            partition.read()
        assert (error.value.partition, error.value.offset, error.value.end) == (PLACE, 2, 12)


def test_a_room_takes_no_memory_before_it_is_written_to() -> None:
    unpacked = unpacking.zstd_decode(theirs.zstd_encode(b"x" * 2 * MIB))
    assert isinstance(unpacked, np.ndarray)
    assert len(unpacked) == 2 * MIB
