"""Fetched bytes → batches → runs of records, by column.

aiokafka's parsers in C read the records. A large batch is read in parts (`consumer.kafka.parts`),
out of the room that it was unpacked into (`consumer.kafka.room`).
"""

from collections.abc import Iterator
from itertools import chain, islice
from operator import attrgetter
from struct import Struct
from typing import Any, NamedTuple

from aiokafka.errors import CorruptRecordException
from aiokafka.record.default_records import DefaultRecordBatch, _DefaultRecordBatchPy
from aiokafka.record.legacy_records import LegacyRecordBatch, _LegacyRecordBatchPy
from aiokafka.record.memory_records import MemoryRecords
from aiokafka.record.util import decode_varint_py

from consumer.kafka.parts import HEAD, MOST_HEADERS, PART_BYTES, has_too_many_headers, parts_of
from consumer.kafka.records import Headers, Records
from consumer.kafka.room import ROOM, TooLarge
from consumer.settings import SMALL_BYTES

RUN_RECORDS = 500
# A hand-out of a partition ends once it has this many bytes, unpacked. Its last run may add as many
# again.
HANDED_OUT_BYTES = 1 << 19

_offset, _time, _key = attrgetter("offset"), attrgetter("timestamp"), attrgetter("key")
_value, _headers = attrgetter("value"), attrgetter("headers")

# Every batch begins with its offset and the length of what follows.
_OFFSET_BYTES, _LENGTH = 8, Struct(">i")


class Batches:
    """The batches in the bytes that were fetched of a partition. Replaces aiokafka's MemoryRecords.

    With an offset, only the batches that hold it or a later one. `is_lenient`: they are read by the
    parser that takes any bytes as a header's name.
    """

    def __init__(self, data: bytes, offset: int | None = None, *, is_lenient: bool = False) -> None:
        self.is_lenient = is_lenient
        self._data = data
        self._offset = offset
        self._parser = MemoryRecords(data)
        self._place = 0
        self._last: _Batch | None = None

    def size_in_bytes(self) -> int:
        return len(self._data)

    def has_next(self) -> bool:
        return bool(self._parser.has_next())

    def next_batch(self) -> "_Batch":
        while self.has_next():
            self._last = None
            begin = self._place
            (length,) = _LENGTH.unpack_from(self._data, begin + _OFFSET_BYTES)
            self._place += _OFFSET_BYTES + _LENGTH.size + length
            data = memoryview(self._data)[begin : self._place]
            batch = self._parser.next_batch()
            if self._offset is not None and batch.next_offset <= self._offset:
                continue
            if self.is_lenient and isinstance(batch, DefaultRecordBatch):
                batch = _LenientBatch(data)
            self._last = _Batch(batch, data)
            return self._last
        raise CorruptRecordException("a batch has other offsets than before")

    def again(self, offset: int, *, is_lenient: bool) -> "Batches":
        """Return the same bytes, to be read from an offset on."""
        return Batches(self._data, offset, is_lenient=is_lenient)

    @property
    def end(self) -> int | None:
        """The offset after the batch returned last; None if its bytes cannot be trusted."""
        return self._last.next_offset if self._last is not None and self._last.is_sound else None


class Run(NamedTuple):
    """Consecutive records of a batch. To aiokafka it is one record, at the last one's offset.

    `is_full`: more of the batch may follow.
    """

    offset: int
    records: Records
    is_full: bool


class _Batch:
    """A batch of aiokafka's, whose records come in runs.

    `is_sound`: its bytes are those that its producer sent, by their checksum.
    """

    is_sound = False

    def __init__(self, batch: Any, data: memoryview) -> None:
        self._batch = batch
        self._data = data

    def __getattr__(self, name: str) -> Any:
        return getattr(self._batch, name)

    def validate_crc(self) -> bool:
        self.is_sound = bool(self._batch.validate_crc())
        return self.is_sound

    def __next__(self) -> Any:
        return next(self._batch)  # the one record of a control batch

    def __iter__(self) -> Iterator[Run]:
        if len(self._data) > ROOM.limit:
            raise TooLarge(f"it has over {ROOM.limit:,} bytes")
        for part, is_last in self._parts():
            unread = chain(part)  # a second iter() of a batch that is being read fails
            for first in unread:
                # About as many as fill one hand-out, if all are as long as the first.
                most = min(RUN_RECORDS, 1 + HANDED_OUT_BYTES // len(first.value or b"-"))
                read = [first, *islice(unread, most - 1)]
                records = _by_column(read)
                yield Run(records.offsets[-1], records, not is_last or len(read) == most)

    def _parts(self) -> Iterator[tuple[Any, bool]]:
        """Yield batches of its records, each with whether it is the last; a small one is whole."""
        records = None
        if not isinstance(self._batch, LegacyRecordBatch | _LegacyRecordBatchPy):
            iter(self._batch)  # unpacks it
            records = ROOM.take_unpacked() if self._batch.compression_type else self._data[HEAD:]
        if records is None or len(records) <= PART_BYTES:
            yield self._batch, True
            return
        for part in parts_of(self._data, records):
            if len(part.batch) > HEAD + PART_BYTES and has_too_many_headers(part.batch):
                raise _too_many_headers()
            yield type(self._batch)(part.batch), part.is_last


def _by_column(read: list[Any]) -> Records:
    """Return aiokafka's records as columns; raises TooLarge if one has too many headers."""
    headers: dict[int, Headers] = {}
    if any(map(_headers, read)):
        headers = {n: tuple(one.headers) for n, one in enumerate(read) if one.headers}
        if max(map(len, headers.values())) > MOST_HEADERS:
            raise _too_many_headers()
    times = list(map(_time, read))
    if times[0] is None:  # the oldest format of a batch has none
        times = [-1] * len(read)
    return Records(map(_offset, read), times, map(_key, read), map(_value, read), headers)


def _too_many_headers() -> TooLarge:
    return TooLarge(f"a record has over {MOST_HEADERS:,} headers")


class _LenientBatch(_DefaultRecordBatchPy):  # type: ignore[misc]  # aiokafka's classes are untyped
    """aiokafka's parser in Python, over bytes that can always be decoded."""

    _buffer: bytearray

    def _maybe_uncompress(self) -> None:
        super()._maybe_uncompress()
        self._buffer = _LenientBytes(self._buffer)
        if len(self._buffer) > SMALL_BYTES:
            ROOM.hold(self._buffer)

    def _read_msg(self) -> Any:
        # By default the numbers are read by a function in C that does not look where the bytes
        # end: a key that claims a gigabyte would end the process by SIGSEGV, and every replica
        # that takes the partition over. This one raises IndexError. No upstream issue.
        return super()._read_msg(decode_varint_py)


class _LenientBytes(bytearray):
    """Bytes that can always be decoded, and their slices too."""

    def __getitem__(self, place: Any) -> Any:
        found = super().__getitem__(place)
        return _LenientBytes(found) if isinstance(found, bytearray) else found

    def decode(self, encoding: str = "utf-8", errors: str = "surrogateescape") -> str:
        return super().decode(encoding, errors)
