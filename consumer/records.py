"""Fetched bytes → records, whatever the bytes of their headers' names.

A broker takes any bytes for a header's name. aiokafka takes UTF-8 only, and what follows another
name in its partition could never be read. Here what a fetch holds from that name's batch on is read
by aiokafka's slower parser, in Python, over a buffer whose text is never refused. Nothing else
costs anything: every other fetch is read by the parser in C, as ever.
"""

from typing import Any

from aiokafka import ConsumerRecord
from aiokafka.consumer import fetcher
from aiokafka.record.default_records import DefaultRecordBatch, _DefaultRecordBatchPy
from aiokafka.record.memory_records import MemoryRecords, _MemoryRecordsPy


class Batches(MemoryRecords):  # type: ignore[misc]  # aiokafka's classes are untyped
    """The batches in the bytes that were fetched of a partition, and those bytes."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self.data = data


class PartitionRecords(fetcher.PartitionRecords):  # type: ignore[misc]  # likewise
    """The records in the bytes that were fetched of a partition.

    A header's name that is not UTF-8 holds its odd bytes as surrogates (PEP 383), so that
    `name.encode(errors="surrogateescape")` gives back what was sent.
    """

    _records: Any  # aiokafka's own, both
    _records_iterator: Any

    def __next__(self) -> ConsumerRecord:
        try:
            record: ConsumerRecord = next(self._records_iterator)
        except StopIteration:
            self._records_iterator = None  # as aiokafka does: it breaks a cycle
            raise
        except UnicodeDecodeError:
            self._records = _LenientBatches(self._records.data, self.next_fetch_offset)
            self._records_iterator = self._unpack_records()
            return next(self)
        return record


class _LenientBatches(_MemoryRecordsPy):  # type: ignore[misc]  # likewise
    """The batches that hold an offset from `offset` on, of which there is at least one."""

    def __init__(self, data: bytes, offset: int) -> None:
        super().__init__(data)
        self._offset = offset

    def next_batch(self) -> Any:
        while True:
            data = self._next_slice
            batch = super().next_batch()
            if batch.next_offset > self._offset:
                return _LenientBatch(data) if isinstance(batch, DefaultRecordBatch) else batch


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
