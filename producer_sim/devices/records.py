"""Records to send to Kafka, in columns: keys and values, and what is known about them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from producer_sim.devices.kinds import Kind
from telemetry.streams import STREAMS

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

NO_TIME = -1
MOST_MEASURES = 3


class Record(NamedTuple):
    """One record. `stream` is an index into `STREAMS`, `due` the simulated instant to send at.

    A measure that the device leaves out is None. A malformed value is not a reading: its
    `recorded_at` is `NO_TIME` and it has no measures.
    """

    stream: int
    device_id: str
    key: bytes | None
    value: bytes | None
    recorded_at: int
    measures: tuple[float | None, ...]
    kind: Kind
    due: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Records:
    """n records in the order of sending; the columns are those of `Record`.

    `stream`, `recorded_at` and `due` have the shape (n,), the times in microseconds since 1970;
    `measures` has the shape (n, 3), NaN if there is no measure.
    """

    stream: Integers
    device_ids: list[str]
    keys: list[bytes | None]
    values: list[bytes | None]
    recorded_at: Integers
    measures: Floats
    kinds: list[Kind]
    due: Integers

    def __len__(self) -> int:
        return len(self.values)

    def row(self, index: int) -> Record:
        stream, recorded_at = int(self.stream[index]), int(self.recorded_at[index])
        told = 0 if recorded_at == NO_TIME else len(STREAMS[stream].measures)
        measures = self.measures[index, :told].tolist()
        return Record(
            stream,
            self.device_ids[index],
            self.keys[index],
            self.values[index],
            recorded_at,
            tuple(None if math.isnan(measure) else measure for measure in measures),
            self.kinds[index],
            int(self.due[index]),
        )

    def between(self, start: int, stop: int) -> "Records":
        return Records(
            stream=self.stream[start:stop],
            device_ids=self.device_ids[start:stop],
            keys=self.keys[start:stop],
            values=self.values[start:stop],
            recorded_at=self.recorded_at[start:stop],
            measures=self.measures[start:stop],
            kinds=self.kinds[start:stop],
            due=self.due[start:stop],
        )

    def take(self, rows: npt.NDArray[np.intp]) -> "Records":
        indexes = rows.tolist()
        return Records(
            stream=self.stream[rows],
            device_ids=_pick(self.device_ids, indexes),
            keys=_pick(self.keys, indexes),
            values=_pick(self.values, indexes),
            recorded_at=self.recorded_at[rows],
            measures=self.measures[rows],
            kinds=_pick(self.kinds, indexes),
            due=self.due[rows],
        )

    def __add__(self, other: "Records") -> "Records":
        return Records(
            stream=np.concatenate((self.stream, other.stream)),
            device_ids=self.device_ids + other.device_ids,
            keys=self.keys + other.keys,
            values=self.values + other.values,
            recorded_at=np.concatenate((self.recorded_at, other.recorded_at)),
            measures=np.concatenate((self.measures, other.measures)),
            kinds=self.kinds + other.kinds,
            due=np.concatenate((self.due, other.due)),
        )

    @classmethod
    def of(cls, rows: Sequence[Record]) -> "Records":
        measures = np.full((len(rows), MOST_MEASURES), np.nan)
        for index, row in enumerate(rows):
            measures[index, : len(row.measures)] = np.array(row.measures, np.float64)
        return cls(
            stream=np.array([row.stream for row in rows], dtype=np.int64),
            device_ids=[row.device_id for row in rows],
            keys=[row.key for row in rows],
            values=[row.value for row in rows],
            recorded_at=np.array([row.recorded_at for row in rows], dtype=np.int64),
            measures=measures,
            kinds=[row.kind for row in rows],
            due=np.array([row.due for row in rows], dtype=np.int64),
        )


def _pick(column: list[Any], indexes: list[int]) -> list[Any]:
    return [column[index] for index in indexes]
