"""Fetched bytes → records, by column, whatever the bytes of their headers' names.

aiokafka makes a ConsumerRecord of each record, which costs more than all that it holds. Here the
records of a batch, as its parser in C reads them, go into columns, some hundreds at a time. What a
batch is (of an aborted transaction, say) stays aiokafka's to judge. What `getmany` returns of a
partition is then one Records, for every consumer of the process.

A broker takes any bytes for a header's name. aiokafka takes UTF-8 only, and what follows another
name in its partition could never be read. Here what a fetch holds from that name's batch on is read
by aiokafka's slower parser, in Python, over a buffer whose text is never refused. Nothing else
costs anything: every other fetch is read by the parser in C, as ever.
"""

from collections.abc import Iterator
from itertools import chain, islice
from operator import attrgetter
from typing import Any, NamedTuple

from aiokafka import TopicPartition
from aiokafka.consumer import fetcher
from aiokafka.record.default_records import DefaultRecordBatch, _DefaultRecordBatchPy
from aiokafka.record.memory_records import MemoryRecords, _MemoryRecordsPy

from consumer.records import Headers, Records

RUN_RECORDS = 500
# Handed out of a partition at a time, and as much again as the last run of records holds: what
# compression kept small is unpacked.
HANDED_OUT_BYTES = 1 << 19

_offset, _time, _key = attrgetter("offset"), attrgetter("timestamp"), attrgetter("key")
_value, _headers = attrgetter("value"), attrgetter("headers")


class FetchResult(fetcher.FetchResult):  # type: ignore[misc]  # aiokafka's classes are untyped
    """What was fetched of a partition and is not handed out yet."""

    _partition_records: Any  # aiokafka's own

    def getall(self, _max_records: None = None) -> Records:
        """Return the next records; none where the partition is no longer to be read from there."""
        taken = Records()
        if not self.has_more() or not self.check_assignment(self._topic_partition):
            return taken
        for records in self._partition_records:
            taken.extend(records)
            if taken.footprint >= HANDED_OUT_BYTES:
                self._update_position()
                taken.has_more = self._partition_records.has_more
                return taken
        self._update_position()
        self._partition_records = None
        return taken


class PartitionRecords(fetcher.PartitionRecords):  # type: ignore[misc]  # likewise
    """Runs of the records in the bytes that were fetched of a partition.

    A header's name that is not UTF-8 holds its odd bytes as surrogates (PEP 383), so that
    `name.encode(errors="surrogateescape")` gives back what was sent.
    """

    next_fetch_offset: int
    _is_amid_a_batch = False
    _records: Any  # aiokafka's own, both
    _records_iterator: Any

    def __next__(self) -> Records:
        try:
            records: Records = next(self._records_iterator)
        except StopIteration:
            self._records_iterator = None  # as aiokafka does: it breaks a cycle
            raise
        except UnicodeDecodeError:
            self._records = _LenientBatches(self._records.data, self.next_fetch_offset)
            self._records_iterator = self._unpack_records()
            return next(self)
        return records

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
    """A batch whose records come in runs."""

    def __init__(self, batch: Any) -> None:
        self._batch = batch

    def __getattr__(self, name: str) -> Any:
        return getattr(self._batch, name)

    def __next__(self) -> Any:
        return next(self._batch)  # the one record of a control batch

    def __iter__(self) -> Iterator[_Run]:
        unread = chain(self._batch)  # it may be asked for its iterator only once
        for first in unread:
            # As many as are about one hand-out, if all are as long as the first.
            most = min(RUN_RECORDS, 1 + HANDED_OUT_BYTES // len(first.value or b"-"))
            run = [first, *islice(unread, most - 1)]
            headers: dict[int, Headers] = {}
            if any(map(_headers, run)):
                headers = {n: tuple(one.headers) for n, one in enumerate(run) if one.headers}
            times = list(map(_time, run))
            if times[0] is None:  # the oldest format of a batch has none
                times = [-1] * len(run)
            records = Records(map(_offset, run), times, map(_key, run), map(_value, run), headers)
            yield _Run(records.offsets[-1], records, len(run) == most)


class Batches(MemoryRecords):  # type: ignore[misc]  # likewise
    """The batches in the bytes that were fetched of a partition, and those bytes."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self.data = data

    def next_batch(self) -> _Batch:
        return _Batch(super().next_batch())


class _LenientBatches(_MemoryRecordsPy):  # type: ignore[misc]  # likewise
    """The batches that hold an offset from `offset` on, of which there is at least one."""

    def __init__(self, data: bytes, offset: int) -> None:
        super().__init__(data)
        self._offset = offset

    def next_batch(self) -> _Batch:
        while True:
            data = self._next_slice
            batch = super().next_batch()
            if batch.next_offset > self._offset:
                is_new = isinstance(batch, DefaultRecordBatch)
                return _Batch(_LenientBatch(data) if is_new else batch)


class _LenientBatch(_DefaultRecordBatchPy):  # type: ignore[misc]  # likewise
    _buffer: bytearray

    def _maybe_uncompress(self) -> None:
        super()._maybe_uncompress()
        self._buffer = _LenientBytes(self._buffer)


class _LenientBytes(bytearray):
    """Bytes that can always be decoded, and their slices too."""

    def __getitem__(self, place: Any) -> Any:
        found = super().__getitem__(place)
        return _LenientBytes(found) if isinstance(found, bytearray) else found

    def decode(self, encoding: str = "utf-8", errors: str = "surrogateescape") -> str:
        return super().decode(encoding, errors)
