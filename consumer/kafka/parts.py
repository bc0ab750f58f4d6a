"""A large batch → small batches of its records, so that their headers do not fill the memory. Pure.

A header takes two bytes in a batch and over a hundred once it is read, and aiokafka reads all
headers that a record claims to hold, whatever its length says: 1 KB on the wire may become eight
million headers. No parser reads past the end of a part, and the headers of a record that is longer
than a part are counted first. Format: KIP-98, and "Record Batch" in Kafka's protocol guide.
"""

import struct
from collections.abc import Iterator
from typing import Any, NamedTuple

from aiokafka.errors import CorruptRecordException

MOST_HEADERS = 1_000
"""The most headers that a record may have. Those of readings have a handful."""
PART_BYTES = 1 << 16
"""The bytes of records in a part. Most batches fit into one; its headers take a few megabytes."""

HEAD = 61
"""The bytes in front of a batch's records."""
# Their places in it: the length of what follows it, the attributes, the number of records.
_LENGTH, _ATTRIBUTES, _COUNT = 8, 22, 57
_CODEC = 0x07  # of the attributes
_LOW_BITS = 0x7F  # of a byte of a number; the bit above says that another byte follows
_TOO_SHORT = "a record's length is not that of its bytes"


class Part(NamedTuple):
    """A batch of some of the records; `is_last`: it holds the last one."""

    batch: bytes
    is_last: bool


def parts_of(batch: Any, records: Any) -> Iterator[Part]:
    """Yield the parts of a batch; `records` are its records, unpacked.

    Raises CorruptRecordException if the records' lengths or their number cannot be right.
    """
    head = bytearray(batch[:HEAD])
    head[_ATTRIBUTES] &= ~_CODEC
    (expected,) = struct.unpack_from(">i", head, _COUNT)
    for begin, end, count in _stretches(records):
        struct.pack_into(">i", head, _LENGTH, HEAD - _LENGTH - 4 + end - begin)
        struct.pack_into(">i", head, _COUNT, count)
        expected -= count
        is_last = end == len(records)
        if is_last and expected:
            raise CorruptRecordException("a batch has another number of records than it says")
        yield Part(b"".join((head, memoryview(records)[begin:end])), is_last)


def has_too_many_headers(part: bytes) -> bool:
    """Return whether the record of a part of one long record has over MOST_HEADERS."""
    data = memoryview(part)
    try:
        _, place = _number(data, HEAD)
        for _ in ("attributes", "time", "offset"):
            _, place = _number(data, place)
        for _ in ("key", "value"):
            length, place = _number(data, place)
            place += max(0, length)
        count, _ = _number(data, place)
    except IndexError:
        return False  # the parser does not get to its headers either
    return count > MOST_HEADERS


def _stretches(records: Any) -> Iterator[tuple[int, int, int]]:
    """Yield (begin, end, number of records) of stretches of PART_BYTES, or of one longer record."""
    data = memoryview(records)
    begin = place = count = 0
    size = len(data)
    while place < size:
        length, after = data[place], place + 1
        if length > _LOW_BITS:
            try:
                length, after = _number(data, place)
            except IndexError:
                raise CorruptRecordException(_TOO_SHORT) from None
        elif length & 1:
            raise CorruptRecordException(_TOO_SHORT)
        else:
            length >>= 1
        following = after + length
        if length < 0 or following > size:
            raise CorruptRecordException(_TOO_SHORT)
        if count and following - begin > PART_BYTES:
            yield begin, place, count
            begin, count = place, 0
        count += 1
        place = following
    if count:
        yield begin, size, count


def _number(data: memoryview, place: int) -> tuple[int, int]:
    """Return the number at this place (a varint, zigzag), and the place after it."""
    number = shift = 0
    while (byte := data[place]) > _LOW_BITS:
        number |= (byte & _LOW_BITS) << shift
        place += 1
        shift += 7
    number |= byte << shift
    return number >> 1 ^ -(number & 1), place + 1
