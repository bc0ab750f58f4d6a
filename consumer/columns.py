"""The readings of one batch by column: sorted, compared and encoded without a loop per row. Pure.

A batch of 20,000 readings is a few numpy operations here; the same work row by row costs more
than all the rest of the consumer.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

HOUR_US = 3_600_000_000

Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]

# Binary COPY, see "COPY" in PostgreSQL's manual: a signature, then for each row the count of
# fields and each field behind its length, then a trailer. A timestamptz counts microseconds
# from 2000-01-01 UTC.
_SIGNATURE = b"PGCOPY\n\xff\r\n\x00" + bytes(8)
_TRAILER = b"\xff\xff"
_POSTGRES_EPOCH_US = 946_684_800_000_000


@dataclass(frozen=True, slots=True, eq=False)
class Columns:
    """Readings in order of (device id, time, position).

    `devices` are the distinct ids, ascending; of n readings with m measures, `codes` (n) says
    which device, `times` (n) when in microseconds since 1970 UTC, `measures` (n, m) what, and
    `positions` (n) at which place of the batch the reading stood.
    """

    devices: Sequence[str]
    codes: Ints
    times: Ints
    measures: NDArray[np.float64]
    positions: Ints

    @classmethod
    def of(
        cls,
        ids: Sequence[str],
        times: Sequence[int],
        measures: Sequence[Sequence[float]],
        positions: Sequence[int],
    ) -> "Columns":
        """Sort n rows, of which there is at least one; `measures` has one sequence a measure."""
        devices = sorted(set(ids))
        rank = {device: code for code, device in enumerate(devices)}
        codes = np.fromiter(map(rank.__getitem__, ids), np.int64, len(ids))
        instants, places = np.array(times, np.int64), np.array(positions, np.int64)
        order = np.lexsort((places, instants, codes))
        return cls(
            devices,
            codes[order],
            instants[order],
            np.array(measures, np.float64).T[order],
            places[order],
        )

    def __len__(self) -> int:
        return len(self.codes)

    def take(self, rows: Mask | slice | Ints) -> "Columns":
        """Return the chosen rows; they stay in order."""
        return Columns(
            self.devices,
            self.codes[rows],
            self.times[rows],
            self.measures[rows],
            self.positions[rows],
        )

    def halves(self) -> tuple["Columns", "Columns"]:
        middle = len(self) // 2
        return self.take(slice(None, middle)), self.take(slice(middle, None))

    def leads(self) -> Mask:
        """Say of each row whether it is the first of its device and time."""
        lead = np.ones(len(self), np.bool_)
        lead[1:] = (self.codes[1:] != self.codes[:-1]) | (self.times[1:] != self.times[:-1])
        return lead

    def equals_lead(self) -> Mask:
        """Say of each row whether its measures equal those of the first of its device and time."""
        lead = np.maximum.accumulate(np.where(self.leads(), np.arange(len(self)), 0))
        equal: Mask = (self.measures == self.measures[lead]).all(axis=1)
        return equal

    def newest(self) -> "Columns":
        """Return the last reading of each device, by its own time."""
        last = np.ones(len(self), np.bool_)
        last[:-1] = self.codes[1:] != self.codes[:-1]
        return self.take(last)

    def touched_hours(self) -> tuple[list[str], list[int]]:
        """Return the devices and hours (since 1970 UTC) of the rows, each pair of them once.

        A reading on the hour belongs to the hour that it ends.
        """
        hours = (self.times - 1) // HOUR_US
        first = np.ones(len(self), np.bool_)
        first[1:] = (self.codes[1:] != self.codes[:-1]) | (hours[1:] != hours[:-1])
        return self.take(first).ids(), hours[first].tolist()

    def ids(self) -> list[str]:
        return [self.devices[code] for code in self.codes.tolist()]

    def copy_data(self, *, with_positions: bool = False) -> bytes:
        """Return binary COPY data: id, time, measures and, where asked for, the position (int8)."""
        row_type, fields = self._row_layout(with_positions=with_positions)
        id_bytes, id_lengths = self._id_bytes()

        fixed = np.zeros(len(self), row_type)
        fixed["time_length"] = 8
        fixed["time"] = self.times - _POSTGRES_EPOCH_US
        fixed["measure"]["length"] = 8
        fixed["measure"]["value"] = self.measures
        if with_positions:
            fixed["position_length"] = 8
            fixed["position"] = self.positions

        # Rows differ in length by their id only: lay the three parts of every row (head, id,
        # fixed part) into one buffer by computed places.
        head = np.zeros(len(self), np.dtype([("fields", ">i2"), ("length", ">i4")]))
        head["fields"] = fields
        head["length"] = id_lengths
        row_lengths = head.itemsize + id_lengths + fixed.itemsize
        starts = len(_SIGNATURE) + np.cumsum(row_lengths) - row_lengths
        buffer = np.empty(len(_SIGNATURE) + int(row_lengths.sum()) + len(_TRAILER), np.uint8)
        buffer[: len(_SIGNATURE)] = np.frombuffer(_SIGNATURE, np.uint8)
        buffer[-len(_TRAILER) :] = np.frombuffer(_TRAILER, np.uint8)
        _place(buffer, starts, head)
        _place(buffer, starts + head.itemsize + id_lengths, fixed)
        id_starts = np.cumsum(id_lengths) - id_lengths
        within = np.arange(len(id_bytes)) - np.repeat(id_starts, id_lengths)
        buffer[np.repeat(starts + head.itemsize, id_lengths) + within] = id_bytes
        return buffer.tobytes()

    def _row_layout(self, *, with_positions: bool) -> tuple[np.dtype[Any], int]:
        measures = self.measures.shape[1]
        measure = np.dtype([("length", ">i4"), ("value", ">f8")])
        layout: list[Any] = [
            ("time_length", ">i4"),
            ("time", ">i8"),
            ("measure", measure, (measures,)),
        ]
        if with_positions:
            layout += [("position_length", ">i4"), ("position", ">i8")]
        return np.dtype(layout), 2 + measures + with_positions

    def _id_bytes(self) -> tuple[NDArray[np.uint8], Ints]:
        """Return the ids of all rows, end to end, and the length of each."""
        names = [device.encode() for device in self.devices]
        lengths = np.array([len(name) for name in names], np.int64)[self.codes]
        joined = b"".join([names[code] for code in self.codes.tolist()])
        return np.frombuffer(joined, np.uint8), lengths


def _place(buffer: NDArray[np.uint8], starts: Ints, parts: NDArray[Any]) -> None:
    """Copy each part, all of one size, to its start in the buffer."""
    size = parts.dtype.itemsize
    places = starts[:, None] + np.arange(size)
    buffer[places] = np.frombuffer(parts.tobytes(), np.uint8).reshape(len(parts), size)
