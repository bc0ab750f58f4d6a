"""How many headers a batch's records have, by their bytes, before any of them is read.

A header takes two bytes in a batch, and over a hundred once it is read: 1 KB on the wire may hold
eight million of them. aiokafka reads a record whole, so they are counted first. Pure.
"""

from typing import Any

MOST_HEADERS = 1_000
"""Of a record. Who sends readings has a handful."""
MOST_UNCOUNTED_BYTES = 1 << 16
"""What most producers pack into a batch holds no more headers than memory has room for."""

_KEY_AND_VALUE = ("key", "value")
_LOW_BITS = 0x7F  # of a byte of a number; the bit above says that there are more
_HEAD = 61  # bytes in front of the records of a batch


def records_in(batch: memoryview) -> memoryview:
    """Return the records of a batch, compressed if it is."""
    return batch[_HEAD:]


def has_too_many(records: Any) -> bool:
    """Return whether one of these records, unpacked, has over MOST_HEADERS.

    Bytes that are no records are left to the parser to refuse. It reads all headers of a record
    before it compares their end with the record's length, so no length is believed here either.
    """
    if len(records) <= MOST_UNCOUNTED_BYTES:
        return False
    data = memoryview(records)
    try:
        return _find_too_many(data)
    except IndexError:
        return False


def _find_too_many(data: memoryview) -> bool:  # noqa: C901  each call would cost its time again
    """Look at each record; a call for each of its numbers would cost as much as to parse it."""
    place, end = 0, len(data)
    while place < end:
        length = data[place]
        place += 1
        if length > _LOW_BITS:
            length, place = _number(data, place - 1)
        following = place + (length >> 1)
        while data[place] > _LOW_BITS:  # attributes
            place += 1
        place += 1
        while data[place] > _LOW_BITS:  # time
            place += 1
        place += 1
        while data[place] > _LOW_BITS:  # offset
            place += 1
        place += 1
        for _ in _KEY_AND_VALUE:
            length = data[place]
            place += 1
            if length > _LOW_BITS:
                length, place = _number(data, place - 1)
            if not length & 1:  # it is there
                place += length >> 1
        if data[place] > _LOW_BITS and _number(data, place)[0] >> 1 > MOST_HEADERS:
            return True
        if following <= place:
            return False  # its length lies: the parser stops here
        place = following
    return False


def _number(data: memoryview, place: int) -> tuple[int, int]:
    """Return the number at this place, its sign in its lowest bit, and the place after it."""
    number = shift = 0
    while (byte := data[place]) > _LOW_BITS:
        number |= (byte & _LOW_BITS) << shift
        place += 1
        shift += 7
    return number | byte << shift, place + 1
