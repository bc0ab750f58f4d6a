"""How many headers a batch's records have, by their bytes, before any of them is read.

A header takes two bytes in a batch, and over a hundred once it is read: 1 KB on the wire may hold
eight million of them. aiokafka reads a record whole, so they are counted first. Pure.
"""

from typing import Any

MOST_HEADERS = 1_000
"""Of a record. Who sends readings has a handful."""
MOST_UNCOUNTED_BYTES = 1 << 16
"""What most producers pack into a batch holds no more headers than memory has room for."""

_LEAST_BYTES = 2 * MOST_HEADERS  # of a record that has too many
_LOW_BITS = 0x7F  # of a byte of a number; the bit above says that there are more
_HEAD = 61  # bytes in front of the records of a batch


def records_in(batch: memoryview) -> memoryview:
    """Return the records of a batch, compressed if it is."""
    return batch[_HEAD:]


def has_too_many(records: Any) -> bool:
    """Return whether one of these records, unpacked, has over MOST_HEADERS.

    Bytes that are no records are left to the parser to refuse.
    """
    if len(records) <= MOST_UNCOUNTED_BYTES:
        return False
    data, place = memoryview(records), 0
    end = len(data)
    try:
        while place < end:
            length = data[place]
            place += 1
            if length > _LOW_BITS:  # as in `_varint`, without a call for each
                length &= _LOW_BITS
                shift = 7
                while (byte := data[place]) > _LOW_BITS:
                    length |= (byte & _LOW_BITS) << shift
                    place += 1
                    shift += 7
                length |= byte << shift
                place += 1
            length >>= 1
            if length >= _LEAST_BYTES and _count(data, place) > MOST_HEADERS:
                return True
            place += length
    except IndexError:
        return False
    return False


def _count(data: memoryview, place: int) -> int:
    """Return the number of headers of the record whose attributes are at this place."""
    for _ in range(3):  # attributes, time, offset
        _, place = _varint(data, place)
    for _ in range(2):  # key, value
        length, place = _varint(data, place)
        place += max(0, length)
    count, _ = _varint(data, place)
    return count


def _varint(data: memoryview, place: int) -> tuple[int, int]:
    """Return the number at this place, and the place after it."""
    number = shift = 0
    while True:
        byte = data[place]
        place += 1
        number |= (byte & _LOW_BITS) << shift
        if byte <= _LOW_BITS:
            return (number >> 1) ^ -(number & 1), place
        shift += 7
