"""Compressed batches → the bytes of their records, up to a limit.

A batch of 100 KB may hold 500 MB, and aiokafka unpacks all of it. These decoders take the place of
aiokafka's: they return the same bytes or raise an error, and never write more than there is room
for.

A batch stays unpacked until all its records are handed out, and every partition may be in the
middle of one. A small batch always has room. Large ones share the room for one of the largest: a
partition whose batch finds no room waits for its turn, and the others go on.

aiokafka's parsers take no arguments. So a process has one room, and the partition that is read next
is named in `ROOM.reader` first.
"""

import gzip
import io
import struct
import zlib
from collections.abc import Callable, Collection, Iterator
from contextlib import suppress
from typing import Any
from weakref import WeakValueDictionary

import cramjam
import numpy as np
from aiokafka import TopicPartition
from aiokafka.codec import _detect_xerial_stream

from consumer.settings import SMALL_BYTES, UNPACKED_MAX_BYTES

_CHUNK_BYTES = 1 << 18
_XERIAL_HEADER_BYTES = 16
_GZIP_WINDOW_BITS = zlib.MAX_WBITS | 16

# Unpacks to the start of the room, and returns the length; raises _Full and Malformed.
_Fill = Callable[[Any, memoryview], int]


class Malformed(ValueError):  # noqa: N818  what the bytes are
    """The bytes are not what their codec says."""


class TooLarge(ValueError):  # noqa: N818  likewise
    """The batch holds more than may be unpacked of one."""


class NoRoom(Exception):  # noqa: N818  what there is
    """Others have unpacked so much that this batch has to wait."""


class _Full(Exception):  # noqa: N818  likewise
    """The batch holds more than the room does."""


class Room:
    """The memory that large batches are unpacked into: `limit` bytes, for all of them together.

    The partition that has waited longest is served first, so that the largest batches are not
    passed over for ever.
    """

    def __init__(self) -> None:
        self.limit = UNPACKED_MAX_BYTES
        self.reader = TopicPartition("", 0)
        self._small: bytes | None = None
        # By partition; an entry ends when the parser that reads it does.
        self._held: WeakValueDictionary[TopicPartition, Any] = WeakValueDictionary()
        # By partition, in order of arrival: the room that was too small for it.
        self._waiting: dict[TopicPartition, int] = {}

    @property
    def held(self) -> int:
        """The bytes of all large batches that are unpacked now."""
        return sum(map(len, self._held.values()))

    def has_unpacked(self, partition: TopicPartition) -> bool:
        """Return whether a large batch of the partition is unpacked now."""
        return partition in self._held

    def is_worth_a_try(self, partition: TopicPartition) -> bool:
        """Return whether it is the partition's turn, with more room than at its last try."""
        first = next(iter(self._waiting), partition)
        return first == partition and self.limit - self.held > self._waiting.get(partition, 0)

    def keep_waiting(self, partitions: Collection[TopicPartition]) -> None:
        """Let only these partitions wait: another is not read now, and would hold them up."""
        self._waiting = {one: size for one, size in self._waiting.items() if one in partitions}

    def forget(self, partition: TopicPartition) -> None:
        """Take the partition off the waiting list."""
        self._waiting.pop(partition, None)

    def unpack(self, packed: Any, fill: _Fill) -> Any:
        """Return the bytes of a large batch, as a buffer; raises NoRoom, TooLarge and Malformed."""
        reader, self._small = self.reader, None
        self._waiting.setdefault(reader, 0)
        if not self.is_worth_a_try(reader):
            raise NoRoom
        # Memory that is not written to is not taken: it costs as much as the batch holds.
        room = np.empty(self.limit - self.held, np.uint8)
        try:
            unpacked = room[: fill(packed, room.data)]
        except _Full:
            if len(room) < self.limit:
                self._waiting[reader] = len(room)
                raise NoRoom from None
            self.forget(reader)
            raise TooLarge(f"it unpacks to over {self.limit:,} bytes") from None
        self.forget(reader)
        return self.hold(unpacked)

    def give(self, unpacked: bytes) -> bytes:
        """Return the bytes of a small batch, and keep them for one `take_unpacked`."""
        self._small = unpacked
        return unpacked

    def take_unpacked(self) -> Any:
        """Return what was unpacked last for this reader, and no longer keep it if it is small."""
        small, self._small = self._small, None
        return self._held.get(self.reader) if small is None else small

    def hold(self, unpacked: Any) -> Any:
        """Return these bytes, which count as held until nothing refers to them."""
        self._held[self.reader] = unpacked
        return unpacked


ROOM = Room()
_small = np.empty(SMALL_BYTES, np.uint8).data


def _unpack(packed: Any, fill: _Fill) -> Any:
    with suppress(_Full):
        return ROOM.give(_small[: fill(packed, _small)].tobytes())
    return ROOM.unpack(packed, fill)


def zstd_decode(packed: Any) -> Any:
    return _unpack(packed, _fill_zstd)


def lz4_decode(packed: Any) -> Any:
    return _unpack(packed, _fill_lz4)


def snappy_decode(packed: Any) -> Any:
    return _unpack(packed, _fill_snappy)


def gzip_decode(packed: Any) -> Any:
    inflater = zlib.decompressobj(_GZIP_WINDOW_BITS)
    with suppress(zlib.error):
        unpacked = inflater.decompress(packed, SMALL_BYTES)
        if inflater.eof and not inflater.unused_data:  # nearly always
            return ROOM.give(unpacked)
    return _unpack(packed, _fill_gzip)


OLD_DECODERS = (gzip_decode, snappy_decode, lz4_decode)
DECODERS = (*OLD_DECODERS, zstd_decode)


def _fill_zstd(packed: Any, room: memoryview) -> int:
    return _fill(cramjam.zstd.decompress_into, packed, room)


def _fill_lz4(packed: Any, room: memoryview) -> int:
    return _fill(cramjam.lz4.decompress_into, packed, room)


def _fill(decompress_into: Callable[..., int], packed: Any, room: memoryview) -> int:
    try:
        return decompress_into(packed, room)
    except cramjam.DecompressionError as error:
        if "write whole buffer" in str(error):  # what Rust says of a buffer that is full
            raise _Full from None
        raise Malformed(str(error)) from error


def _fill_snappy(packed: Any, room: memoryview) -> int:
    length = 0
    try:
        for block in _snappy_blocks(packed):
            end = length + cramjam.snappy.decompress_raw_len(block)
            if end > len(room):
                raise _Full
            length += cramjam.snappy.decompress_raw_into(block, room[length:end])
    except (cramjam.DecompressionError, struct.error) as error:
        raise Malformed(str(error)) from error
    return length


def _snappy_blocks(packed: Any) -> Iterator[Any]:
    """Yield the blocks of xerial's framing, which Java's producers use, or the only one."""
    if not _detect_xerial_stream(packed):
        yield packed
        return
    place, framed = _XERIAL_HEADER_BYTES, memoryview(packed)
    while place < len(framed):
        (size,) = struct.unpack_from("!i", framed, place)
        place += 4
        yield framed[place : place + max(0, size)]
        place += size


def _fill_gzip(packed: Any, room: memoryview) -> int:
    length = 0
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(packed)) as unpacked:
            # In chunks, because each is an object of its own first.
            while size := unpacked.readinto(room[length : length + _CHUNK_BYTES]):
                length += size
            if length == len(room) and unpacked.read(1):
                raise _Full
    except (OSError, EOFError, zlib.error) as error:
        raise Malformed(str(error)) from error
    return length
