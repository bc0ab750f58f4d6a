"""Fetched bytes → records, by column, whatever the bytes of their headers' names.

aiokafka makes a ConsumerRecord of each record, which costs more than all that it holds. Here the
records of a batch, as its parser in C reads them, go into columns, some hundreds at a time. What a
batch is (of an aborted transaction, say) stays aiokafka's to judge. What `getmany` returns of a
partition is then one Records, for every consumer of the process.

A broker takes any bytes for a header's name. aiokafka takes UTF-8 only, and what follows another
name in its partition could never be read. Here what a fetch holds from that name's batch on is read
by aiokafka's slower parser, in Python, over a buffer whose text is never refused. Nothing else
costs anything: every other fetch is read by the parser in C, as ever.

A batch that cannot be read, or holds more than may be unpacked of one, ends the records of its
partition with Unreadable, after those in front of it have been handed out.
"""

from collections.abc import Iterator
from itertools import chain, islice
from operator import attrgetter
from struct import Struct
from typing import Any, NamedTuple

from aiokafka import TopicPartition
from aiokafka.consumer import fetcher
from aiokafka.errors import CorruptRecordException, KafkaError
from aiokafka.record.default_records import DefaultRecordBatch, _DefaultRecordBatchPy
from aiokafka.record.legacy_records import LegacyRecordBatch, _LegacyRecordBatchPy
from aiokafka.record.memory_records import MemoryRecords

from consumer.kafka.parts import HEAD, MOST_HEADERS, PART_BYTES, has_too_many_headers, parts_of
from consumer.kafka.records import Headers, Records
from consumer.kafka.unpacking import ROOM, NoRoom, TooLarge
from consumer.settings import SMALL_BYTES

RUN_RECORDS = 500
# Handed out of a partition at a time, and as much again as the last run of records holds: what
# compression kept small is unpacked.
HANDED_OUT_BYTES = 1 << 19

_offset, _time, _key = attrgetter("offset"), attrgetter("timestamp"), attrgetter("key")
_value, _headers = attrgetter("value"), attrgetter("headers")

# Every batch begins with its offset and the length of what follows.
_OFFSET_BYTES, _LENGTH = 8, Struct(">i")


class Unreadable(KafkaError):  # type: ignore[misc]  # noqa: N818  aiokafka's are untyped
    """The batch of the partition's next record cannot be read; the message is one line.

    `end` is the offset after the batch, None where its bytes are not to be believed. `is_certain`:
    the same bytes will come again, for they are as their producer sent them.
    """

    def __init__(
        self, partition: TopicPartition, *, offset: int, end: int | None, reason: str
    ) -> None:
        super().__init__(f"{partition.topic}/{partition.partition} at {offset}: {reason}")
        self.partition = partition
        self.offset = offset
        self.end = end
        self.reason = reason

    @property
    def is_certain(self) -> bool:
        return self.end is not None


class FetchResult(fetcher.FetchResult):  # type: ignore[misc]  # aiokafka's classes are untyped
    """What was fetched of a partition and is not handed out yet."""

    _partition_records: Any  # aiokafka's own

    def getall(self, _max_records: None = None) -> Records:
        """Return the next records; none where the partition is no longer to be read from there.

        None either while its next batch waits for room. Raises Unreadable.
        """
        taken = Records()
        if not self.has_more() or not self.check_assignment(self._topic_partition):
            return taken
        if self._partition_records.waits and not ROOM.is_worth_a_try(self._topic_partition):
            return taken
        try:
            for records in self._partition_records:
                taken.extend(records)
                if taken.footprint >= HANDED_OUT_BYTES:
                    self._update_position()
                    taken.has_more = self._partition_records.has_more
                    return taken
        except NoRoom:
            taken.has_more = True
        except Unreadable:
            if not taken:
                raise
            taken.has_more = True  # it is met again by the next call
        self._update_position()
        if not taken.has_more:
            self._partition_records = None
        return taken

    def check_assignment(self, tp: TopicPartition) -> bool:
        records = self._partition_records
        if super().check_assignment(tp):
            return True
        records.drop()
        return False

    def __del__(self) -> None:
        if self._partition_records is not None:
            self._partition_records.drop()


class PartitionRecords(fetcher.PartitionRecords):  # type: ignore[misc]  # likewise
    """Runs of the records in the bytes that were fetched of a partition.

    A header's name that is not UTF-8 holds its odd bytes as surrogates (PEP 383), so that
    `name.encode(errors="surrogateescape")` gives back what was sent.
    """

    next_fetch_offset: int
    waits = False
    _is_amid_a_batch = False
    _records: "Batches"
    _records_iterator: Any  # aiokafka's own, both
    _tp: TopicPartition

    def __next__(self) -> Records:
        ROOM.reader, self.waits = self._tp, False
        try:
            records: Records = next(self._records_iterator)
        except (StopIteration, MemoryError):
            self.drop()
            raise
        except UnicodeDecodeError:
            self._read_again(is_lenient=True)
            return next(self)
        except NoRoom:
            self.waits = True
            self._read_again()
            raise
        except Exception as error:
            # Whatever it is, the parsers say it of these bytes: they do nothing else.
            end, reason = self._records.end, " ".join(str(error).split()) or repr(error)
            self._read_again()
            offset = self.next_fetch_offset
            # Without the frames that hold what was unpacked, for as long as the error is kept.
            error.__traceback__ = None
            raise Unreadable(self._tp, offset=offset, end=end, reason=reason) from error
        return records

    def drop(self) -> None:
        """Let go of the batch that is unpacked: it is in a cycle, and would stay for long."""
        self._records_iterator = None

    def _read_again(self, *, is_lenient: bool = False) -> None:
        """Begin once more with the batch that was not read to its end."""
        is_lenient = is_lenient or self._records.is_lenient
        self._records = self._records.again(self.next_fetch_offset, is_lenient=is_lenient)
        self._records_iterator = self._unpack_records()

    def _consumer_record(self, _partition: TopicPartition, run: "_Run") -> Records:
        self._is_amid_a_batch = run.is_full
        return run.records.since(self.next_fetch_offset)

    @property
    def has_more(self) -> bool:
        """Say whether there is more to come: that there is not is certain."""
        return self._is_amid_a_batch or bool(self._records.has_next())


class _Run(NamedTuple):
    """Consecutive records of a batch, to aiokafka one record: that at the last one's offset."""

    offset: int
    records: Records
    is_full: bool


class _Batch:
    """A batch, and its bytes, whose records come in runs.

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

    def __iter__(self) -> Iterator[_Run]:
        if len(self._data) > ROOM.limit:
            raise TooLarge(f"it has over {ROOM.limit:,} bytes")
        for part, is_last in self._parts():
            unread = chain(part)  # what is being read may not be asked again
            for first in unread:
                # As many as are about one hand-out, if all are as long as the first.
                most = min(RUN_RECORDS, 1 + HANDED_OUT_BYTES // len(first.value or b"-"))
                run = [first, *islice(unread, most - 1)]
                headers: dict[int, Headers] = {}
                if any(map(_headers, run)):
                    headers = {n: tuple(one.headers) for n, one in enumerate(run) if one.headers}
                    if max(map(len, headers.values())) > MOST_HEADERS:
                        raise _too_many_headers()
                times = list(map(_time, run))
                if times[0] is None:  # the oldest format of a batch has none
                    times = [-1] * len(run)
                records = Records(
                    map(_offset, run), times, map(_key, run), map(_value, run), headers
                )
                yield _Run(records.offsets[-1], records, not is_last or len(run) == most)

    def _parts(self) -> Iterator[tuple[Any, bool]]:
        """Yield batches of its records, and whether each is the last; itself if it is small."""
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


def _too_many_headers() -> TooLarge:
    return TooLarge(f"a record has over {MOST_HEADERS:,} headers")


class Batches:
    """The batches in the bytes that were fetched of a partition, as aiokafka's own has them.

    Where an offset is given they are those that hold it or a later one. `is_lenient`: read by the
    parser that takes any bytes for a header's name.
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

    def next_batch(self) -> _Batch:
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
        """Return the same from an offset on."""
        return Batches(self._data, offset, is_lenient=is_lenient)

    @property
    def end(self) -> int | None:
        """The offset after the batch that was returned last, where it can be believed."""
        return self._last.next_offset if self._last is not None and self._last.is_sound else None


class _LenientBatch(_DefaultRecordBatchPy):  # type: ignore[misc]  # likewise
    _buffer: bytearray

    def _maybe_uncompress(self) -> None:
        super()._maybe_uncompress()
        self._buffer = _LenientBytes(self._buffer)
        if len(self._buffer) > SMALL_BYTES:
            ROOM.hold(self._buffer)


class _LenientBytes(bytearray):
    """Bytes that can always be decoded, and their slices too."""

    def __getitem__(self, place: Any) -> Any:
        found = super().__getitem__(place)
        return _LenientBytes(found) if isinstance(found, bytearray) else found

    def decode(self, encoding: str = "utf-8", errors: str = "surrogateescape") -> str:
        return super().decode(encoding, errors)
