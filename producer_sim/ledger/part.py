"""One part of a ledger: consecutive messages, and the columns in which they are stored."""

from itertools import chain
from typing import Any

import numpy as np
import pyarrow as pa

from producer_sim.devices.records import NO_TIME, Floats, Records
from producer_sim.ledger.reports import NO_OFFSET, Reports, Tally
from telemetry.streams import STREAMS
from telemetry.timestamps import SECOND_US

PART_ROWS = 200_000
PART_SECONDS = 30
MEASURES = tuple(dict.fromkeys(chain.from_iterable(stream.measures for stream in STREAMS)))

_FIELDS: "list[pa.Field[Any]]" = [
    pa.field("sequence", pa.int64(), nullable=False),
    pa.field("topic", pa.string(), nullable=False),
    pa.field("partition", pa.int32(), nullable=False),
    pa.field("record_offset", pa.int64()),
    pa.field("key", pa.binary()),
    pa.field("device_id", pa.string(), nullable=False),
    pa.field("recorded_at", pa.int64()),
    *(pa.field(measure, pa.float64()) for measure in MEASURES),
    pa.field("canonical", pa.bool_(), nullable=False),
    pa.field("value", pa.binary()),
    pa.field("kind", pa.string(), nullable=False),
    pa.field("expected", pa.string(), nullable=False),
    pa.field("reason", pa.string()),
    pa.field("delivery", pa.string(), nullable=False),
    pa.field("sent_at", pa.int64(), nullable=False),
]
SCHEMA = pa.schema(_FIELDS)


class Part:
    """Consecutive messages, and their reports as they arrive."""

    def __init__(self, *, number: int, first_sequence: int, opened_us: int, tally: Tally) -> None:
        self.number = number
        self.reports = Reports(tally)
        self._first_sequence = first_sequence
        self._opened_us = opened_us
        self._records: list[Records] = []
        self._partitions: list[int] = []
        self._sent_at: list[int] = []

    def __len__(self) -> int:
        return len(self._partitions)

    def is_full(self, now_us: int) -> bool:
        """Return whether the part has enough rows, or has been open long enough."""
        return len(self) >= PART_ROWS or (
            len(self) > 0 and now_us - self._opened_us >= PART_SECONDS * SECOND_US
        )

    def add(self, records: Records, partitions: list[int], sent_at: int) -> int:
        """Append messages, and return the row of the first."""
        self._records.append(_without_canonical_values(records))
        self._partitions += partitions
        self._sent_at += [sent_at] * len(records)
        return self.reports.expect(len(records))

    def table(self) -> pa.Table:
        """Return the part as it is stored; docs/simulator.md describes the columns."""
        records = self._records
        kinds = list(chain.from_iterable(chunk.kinds for chunk in records))
        stream = np.concatenate([chunk.stream for chunk in records])
        recorded_at = np.concatenate([chunk.recorded_at for chunk in records])
        offsets = [None if offset == NO_OFFSET else offset for offset in self.reports.offsets]
        topics = pa.array([stream.topic for stream in STREAMS])
        return pa.table(
            {
                "sequence": np.arange(len(self)) + self._first_sequence,
                "topic": topics.take(pa.array(stream)),
                "partition": self._partitions,
                "record_offset": pa.array(offsets, pa.int64()),
                "key": pa.array(chain.from_iterable(chunk.keys for chunk in records), pa.binary()),
                "device_id": list(chain.from_iterable(chunk.device_ids for chunk in records)),
                "recorded_at": pa.array(recorded_at, mask=recorded_at == NO_TIME),
                **_by_name(np.concatenate([chunk.measures for chunk in records]), stream),
                "canonical": [kind.canonical for kind in kinds],
                "value": pa.array(
                    chain.from_iterable(chunk.values for chunk in records), pa.binary()
                ),
                "kind": [kind.name for kind in kinds],
                "expected": [kind.expected for kind in kinds],
                "reason": pa.array([kind.reason for kind in kinds], pa.string()),
                "delivery": self.reports.deliveries(),
                "sent_at": self._sent_at,
            },
            schema=SCHEMA,
        )


def _without_canonical_values(records: Records) -> Records:
    return Records(
        stream=records.stream,
        device_ids=records.device_ids,
        keys=records.keys,
        values=[
            None if kind.canonical else value
            for kind, value in zip(records.kinds, records.values, strict=True)
        ],
        recorded_at=records.recorded_at,
        measures=records.measures,
        kinds=records.kinds,
        due=records.due,
    )


def _by_name(measures: Floats, stream: np.ndarray[Any, Any]) -> "dict[str, pa.Array[Any]]":
    """Return the measures, (n, 3), as a column per name: null if there is no such measure."""
    columns: dict[str, pa.Array[Any]] = {}
    for number, owner in enumerate(STREAMS):
        foreign = stream != number
        for position, name in enumerate(owner.measures):
            values = measures[:, position]
            columns[name] = pa.array(values, mask=foreign | np.isnan(values))
    return columns
