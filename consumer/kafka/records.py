"""Records of one partition as Kafka holds them, by column. Pure.

An object for each record would cost more than all that is done with it. Here only the bytes of its
key and value are objects.
"""

from array import array
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from typing import NamedTuple, overload

# What a record takes beside its own bytes: the overhead of two bytes objects, their places in two
# lists, and two integers. By sys.getsizeof on 64-bit CPython, rounded up as its allocator does.
RECORD_OVERHEAD_BYTES = 130

Headers = Sequence[tuple[str, bytes | None]]
"""(name, value) each; bytes of a name that are not UTF-8 are surrogates in it (PEP 383)."""


class Record(NamedTuple):
    """One record; `timestamp_ms` is negative if there is none."""

    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: Headers


class Records(Sequence[Record]):
    """Records in the order of their offsets.

    `offsets`, `timestamps` (ms, negative if there is none), `keys` and `values` have n elements.
    `headers` are by position, of those records that have any. `footprint` is about the bytes of
    memory that all of it takes. `has_more`: more was fetched than is handed out here.
    """

    __slots__ = ("footprint", "has_more", "headers", "keys", "offsets", "timestamps", "values")

    def __init__(
        self,
        offsets: Iterable[int] = (),
        timestamps: Iterable[int] = (),
        keys: Iterable[bytes | None] = (),
        values: Iterable[bytes | None] = (),
        headers: dict[int, Headers] | None = None,
    ) -> None:
        self.offsets = array("q", offsets)
        self.timestamps = array("q", timestamps)
        self.keys = list(keys)
        self.values = list(values)
        self.headers = headers or {}
        self.has_more = False
        self.footprint = (
            RECORD_OVERHEAD_BYTES * len(self.offsets)
            + sum(map(len, filter(None, self.keys)))
            + sum(map(len, filter(None, self.values)))
            + sum(100 + len(n) + len(v or b"") for each in self.headers.values() for n, v in each)
        )

    def __len__(self) -> int:
        return len(self.offsets)

    @overload
    def __getitem__(self, place: int) -> Record: ...
    @overload
    def __getitem__(self, place: slice) -> "Records": ...
    def __getitem__(self, place: int | slice) -> "Record | Records":
        if isinstance(place, slice):
            return self._slice(place)
        headers = self.headers.get(range(len(self))[place], ())
        offset, time = self.offsets[place], self.timestamps[place]
        return Record(offset, time, self.keys[place], self.values[place], headers)

    def extend(self, more: "Records") -> None:
        """Append records that follow these."""
        self.headers.update({len(self) + place: those for place, those in more.headers.items()})
        self.offsets.extend(more.offsets)
        self.timestamps.extend(more.timestamps)
        self.keys.extend(more.keys)
        self.values.extend(more.values)
        self.footprint += more.footprint

    def since(self, offset: int) -> "Records":
        """Return the records from the offset on."""
        before = bisect_left(self.offsets, offset)
        if not before:
            return self
        rest = self[before:]
        rest.has_more = self.has_more
        return rest

    def _slice(self, places: slice) -> "Records":
        rows = range(*places.indices(len(self)))
        return Records(
            self.offsets[places],
            self.timestamps[places],
            self.keys[places],
            self.values[places],
            {new: self.headers[old] for new, old in enumerate(rows) if old in self.headers},
        )
