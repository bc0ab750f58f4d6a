"""The records of a batch → columns of readings, and dead letters. Pure.

This is the hot path, with one door. Values are read one by one, for a bad one must not cost its
neighbours, and judged together: ids once each, times and zeros by column. Whatever is not plainly
good is odd, and goes to `telemetry.decode`, the definition of what is a reading.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import compress
from operator import ne
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from consumer.batch import Record
from consumer.columns import Columns
from telemetry.decode import (
    MAX_VALUE_BYTES,
    QUICK_DECODERS,
    Rejected,
    TimeLimits,
    explain,
    find_minus_zero,
    is_device_id,
)
from telemetry.reasons import Reason
from telemetry.streams import Stream
from telemetry.timestamps import parse_timestamp

STEP = 2_000
# The definition takes some 10 µs a message, and 0.4 µs a byte of the most deeply nested ones. A
# step of it, in bytes, stays below some 30 ms.
ODD_STEP = 65_536
ODD_COST = 64

_UNREADABLE = np.iinfo(np.int64).min


class DeadLetter(NamedTuple):
    """A record that is no reading: its place in the batch, the reason, one line of detail."""

    position: int
    reason: Reason
    detail: str


@dataclass(slots=True)
class Decoded:
    """What a batch holds; `columns` is None where no record is a reading."""

    columns: Columns | None = None
    dead_letters: list[DeadLetter] = field(default_factory=list)
    key_mismatches: int = 0


def decode_batch(
    records: Sequence[Record], stream: Stream, limits: TimeLimits, decoded: Decoded
) -> Iterator[None]:
    """Fill `decoded` from the records, a step at a time.

    Yields between steps, so that an event loop can see to its other work.
    """
    quick = QUICK_DECODERS[stream.name]
    messages: list[Any] = []
    positions: list[int] = []
    odd: list[int] = []
    for start in range(0, len(records), STEP):
        for position, record in enumerate(records[start : start + STEP], start):
            value = record.value
            if value is None or len(value) > MAX_VALUE_BYTES:
                odd.append(position)
                continue
            try:
                messages.append(quick(value))
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                odd.append(position)
            else:
                positions.append(position)
        yield
    rows = _Rows.of(messages, positions, stream)
    odd += rows.set_aside(_odd_rows(rows, records, limits))
    spent = 0
    for position in sorted(odd):
        value = records[position].value
        spent += ODD_COST + len(value or b"")
        if spent > ODD_STEP:
            spent = 0
            yield
        result = explain(value, stream, limits)
        if isinstance(result, Rejected):
            decoded.dead_letters.append(DeadLetter(position, result.reason, result.detail))
        else:
            rows.append(position, *result)
    if rows.ids:
        decoded.key_mismatches = _key_mismatches(rows, records)
        decoded.columns = Columns.of(rows.ids, rows.times, rows.measures, rows.positions)


@dataclass(slots=True)
class _Rows:
    """Readings as parallel lists; `measures` has one list a measure."""

    ids: list[str]
    times: list[int]
    measures: list[list[float]]
    positions: list[int]

    @classmethod
    def of(cls, messages: list[Any], positions: list[int], stream: Stream) -> "_Rows":
        if not messages:
            return cls([], [], [[] for _ in stream.measures], [])
        # A list, whose length is known: a tuple of arguments that is gathered from an iterator is
        # not taken from the interpreter's free lists, but ends there, and fills them up (4 MiB).
        fields = list(map(msgspec.structs.astuple, messages))
        ids, *measures, times = map(list, zip(*fields, strict=True))
        return cls(ids, list(map(_instant, times)), measures, positions)

    def set_aside(self, odd: NDArray[np.bool_]) -> list[int]:
        """Remove the rows that the mask names and return their positions."""
        removed = [self.positions[row] for row in np.flatnonzero(odd).tolist()]
        if removed:
            kept = (~odd).tolist()  # compress is slow with an array
            self.ids = list(compress(self.ids, kept))
            self.times = list(compress(self.times, kept))
            self.measures = [list(compress(column, kept)) for column in self.measures]
            self.positions = list(compress(self.positions, kept))
        return removed

    def append(
        self, position: int, device_id: str, recorded_at: int, measures: Sequence[float]
    ) -> None:
        self.ids.append(device_id)
        self.times.append(recorded_at)
        self.positions.append(position)
        for column, measure in zip(self.measures, measures, strict=True):
            column.append(measure)


def _odd_rows(rows: _Rows, records: Sequence[Record], limits: TimeLimits) -> NDArray[np.bool_]:
    """Say of each row whether it is other than plainly good."""
    times = np.array(rows.times, np.int64)
    odd: NDArray[np.bool_] = (times < limits.earliest) | (times > limits.latest)
    bad_ids = {device for device in set(rows.ids) if not is_device_id(device)}
    if bad_ids:
        odd |= np.fromiter(map(bad_ids.__contains__, rows.ids), np.bool_, len(rows.ids))
    for row in np.flatnonzero((np.array(rows.measures) == 0).any(axis=0)).tolist():
        if find_minus_zero(records[rows.positions[row]].value or b""):
            odd[row] = True
    return odd


def _key_mismatches(rows: _Rows, records: Sequence[Record]) -> int:
    keys = {device: device.encode() for device in set(rows.ids)}
    found = [records[position].key for position in rows.positions]
    return sum(map(ne, found, map(keys.__getitem__, rows.ids)))


def _instant(text: str) -> int:
    try:
        return parse_timestamp(text)
    except ValueError:
        return _UNREADABLE
