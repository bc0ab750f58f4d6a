"""Compressed batches → the bytes of their records, up to a limit.

A batch of 100 KB may hold 500 MB, and aiokafka unpacks all of it. These decoders take the place of
aiokafka's: they return the same bytes or raise an error, and never write more than there is room
for (`consumer.kafka.room`).
"""

import gzip
import io
import struct
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import cramjam
import numpy as np
from aiokafka.codec import _detect_xerial_stream

from consumer.kafka.room import ROOM, Fill, Full
from consumer.settings import SMALL_BYTES

_CHUNK_BYTES = 1 << 18
_XERIAL_HEADER_BYTES = 16
_GZIP_WINDOW_BITS = zlib.MAX_WBITS | 16

_small = np.empty(SMALL_BYTES, np.uint8).data


class Malformed(ValueError):  # noqa: N818  what the bytes are
    """The bytes are not what their codec says."""


def _unpack(packed: Any, fill: Fill) -> Any:
    with suppress(Full):
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
            raise Full from None
        raise Malformed(str(error)) from error


def _fill_snappy(packed: Any, room: memoryview) -> int:
    length = 0
    try:
        for block in _snappy_blocks(packed):
            end = length + cramjam.snappy.decompress_raw_len(block)
            if end > len(room):
                raise Full
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
                raise Full
    except (OSError, EOFError, zlib.error) as error:
        raise Malformed(str(error)) from error
    return length
