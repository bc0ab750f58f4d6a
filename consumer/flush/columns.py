"""The readings of one batch by column: sorted, compared and encoded without a loop per row. Pure.

A batch of 20,000 readings is a few numpy operations here; the same work row by row costs more
than all the rest of the consumer.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from consumer.postgres.binary import DOUBLE, POSTGRES_EPOCH_US, doubles, without_nulls

HOUR_US = 3_600_000_000

Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]

# Binary COPY, see "COPY" in PostgreSQL's manual: a signature, then for each row the count of
# fields and each field behind its length, then a trailer.
_SIGNATURE = b"PGCOPY\n\xff\r\n\x00" + bytes(8)
_TRAILER = b"\xff\xff"


@dataclass(frozen=True, slots=True, eq=False)
class Columns:
    """Readings in order of (device id, time, position).

    `devices` are the distinct ids, ascending; of n readings with m measures, `codes` (n) says
    which device, `times` (n) when in microseconds since 1970 UTC, `measures` (n, m) what, NaN where
    the device did not tell it, and `positions` (n) at which place of the batch the reading stood.
    PostgreSQL gets NULL for NaN, which no JSON number is.
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
        times: Ints,
        measures: NDArray[np.float64],
        positions: Ints,
    ) -> "Columns":
        """Sort n rows, of which there is at least one; `measures` (m, n) has a row a measure."""
        devices = sorted(set(ids))
        rank = {device: code for code, device in enumerate(devices)}
        codes = np.fromiter(map(rank.__getitem__, ids), np.int64, len(ids))
        order = np.lexsort((positions, times, codes))
        return cls(devices, codes[order], times[order], measures.T[order], positions[order])

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
        first = self.measures[lead]
        both_untold = np.isnan(self.measures) & np.isnan(first)
        equal: Mask = ((self.measures == first) | both_untold).all(axis=1)
        return equal

    def newest(self) -> "Columns":
        """Return the last reading of each device, by its own time."""
        last = np.ones(len(self), np.bool_)
        last[:-1] = self.codes[1:] != self.codes[:-1]
        return self.take(last)

    def touched_hours(self) -> tuple[list[str], NDArray[np.int32]]:
        """Return the devices and hours (since 1970 UTC) of the rows, each pair of them once.

        A reading on the hour belongs to the hour that it ends.
        """
        hours = (self.times - 1) // HOUR_US
        first = np.ones(len(self), np.bool_)
        first[1:] = (self.codes[1:] != self.codes[:-1]) | (hours[1:] != hours[:-1])
        return self.take(first).ids(), hours[first].astype(np.int32)

    def ids(self) -> list[str]:
        return [self.devices[code] for code in self.codes.tolist()]

    def parameters(self) -> list[Any]:
        """Return ids, times and each measure, as parameters of a statement."""
        return [self.ids(), self.times.view("datetime64[us]"), *self.measures.T]

    def copy_data(self) -> bytes:
        """Return binary COPY data: id, time and measures.

        Those rows whose ids are of one length are one array, and one such array follows the other.
        """
        names = np.array([device.encode() for device in self.devices])
        lengths = np.strings.str_len(names)
        blocks = [_SIGNATURE]
        for length in np.unique(lengths).tolist():
            alike = self if (lengths == length).all() else self.take(lengths[self.codes] == length)
            blocks.append(alike._rows(names.astype(f"S{length}")))
        return b"".join([*blocks, _TRAILER])

    def _rows(self, names: NDArray[np.bytes_]) -> bytes:
        """Return the rows; `names` are the ids of all devices, in the length of these rows'."""
        measures = self.measures.shape[1]
        layout: list[Any] = [
            ("fields", ">i2"),
            ("id_length", ">i4"),
            ("id", names.dtype),
            ("time_length", ">i4"),
            ("time", ">i8"),
            ("measures", DOUBLE, (measures,)),
        ]
        rows = np.empty(len(self), layout)
        rows["fields"] = 2 + measures
        rows["id_length"], rows["id"] = names.itemsize, names[self.codes]
        rows["time_length"], rows["time"] = 8, self.times - POSTGRES_EPOCH_US
        return without_nulls(rows, doubles(self.measures, rows["measures"]))
