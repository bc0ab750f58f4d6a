"""The ledger: every message that was sent and what the broker said of it, in Parquet parts.

A part is written once every message in it has its report, under a temporary name, and then
renamed. So a ledger can be read at any time, and a simulator that is killed leaves one that is
complete up to its last part. `ledger.json` says what made it and whether it was closed.
"""

import json
from collections import deque
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from producer_sim.devices.records import NO_TIME, Floats, Records
from producer_sim.ledger.reports import NO_OFFSET, Reporter, Reports, Tally
from telemetry.streams import STREAMS
from telemetry.timestamps import SECOND_US

FORMAT = 1
METADATA = "ledger.json"
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


class LedgerError(Exception):
    """A directory cannot take a ledger, or holds none. The message is one line."""


class EmptyLedgerError(LedgerError):
    """A ledger holds no message that the broker has: nothing can be compared with it."""


class Book(Protocol):
    """Where messages are entered before they are sent."""

    tally: Tally

    def enter(self, records: Records, partitions: list[int], sent_at: int) -> list[Reporter]:
        """Take note of messages about to be sent and return where each one's report goes."""

    def settle(self, now_us: int) -> None:
        """Put away what is complete."""

    def note(self, **more: object) -> None:
        """Remember something about the whole."""

    def close(self) -> None:
        """Put away the rest: what has no report by now is unknown. May be repeated."""


class Unrecorded:
    """Counts, and keeps nothing."""

    def __init__(self) -> None:
        self.tally = Tally()

    def enter(self, records: Records, _partitions: list[int], _sent_at: int) -> list[Reporter]:
        self.tally.sent += len(records)
        return [self.tally.count] * len(records)

    def settle(self, _now_us: int) -> None:
        """Nothing to put away."""

    def note(self, **_more: object) -> None:
        """Nowhere to remember it."""

    def close(self) -> None:
        self.tally.unknown += self.tally.waiting


class Part:
    """Consecutive messages, and their reports as they come in."""

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
        return len(self) >= PART_ROWS or (
            len(self) > 0 and now_us - self._opened_us >= PART_SECONDS * SECOND_US
        )

    def add(self, records: Records, partitions: list[int], sent_at: int) -> int:
        self._records.append(_without_canonical_values(records))
        self._partitions += partitions
        self._sent_at += [sent_at] * len(records)
        return self.reports.expect(len(records))

    def table(self) -> pa.Table:
        """Return the part as it is stored; the columns are described in docs/simulator.md."""
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


class Ledger:
    """A directory that is being filled."""

    def __init__(self, *, directory: Path, metadata: dict[str, Any], now_us: int) -> None:
        """Take an empty or new directory; raises LedgerError for any other."""
        self.tally = Tally()
        self.directory = directory
        self._metadata = metadata
        try:
            directory.mkdir(parents=True, exist_ok=True)
            taken = any(directory.iterdir())
        except OSError as error:
            raise LedgerError(f"{directory}: {error.strerror}") from error
        if taken:
            raise LedgerError(f"{directory}: is not empty, a ledger needs a directory of its own")
        self._full: deque[Part] = deque()
        self._part = Part(number=1, first_sequence=0, opened_us=now_us, tally=self.tally)
        self._describe(closed=False)

    def note(self, **more: object) -> None:
        """Add to the metadata, which is written when the ledger is closed."""
        self._metadata.update(more)

    def enter(self, records: Records, partitions: list[int], sent_at: int) -> list[Reporter]:
        first = self._part.add(records, partitions, sent_at)
        take = self._part.reports.take
        self.tally.sent += len(records)
        return [partial(take, row) for row in range(first, first + len(records))]

    def settle(self, now_us: int) -> None:
        if self._part.is_full(now_us):
            self._full.append(self._part)
            self._part = Part(
                number=self._part.number + 1,
                first_sequence=self.tally.sent,
                opened_us=now_us,
                tally=self.tally,
            )
        while self._full and not self._full[0].reports.waiting:
            self._write(self._full.popleft())

    def close(self) -> None:
        for part in (*self._full, self._part):
            if len(part):
                self._write(part)
        self._full.clear()
        self._part = Part(
            number=self._part.number + 1,
            first_sequence=self.tally.sent,
            opened_us=0,
            tally=self.tally,
        )
        self.tally.unknown += self.tally.waiting
        self._describe(closed=True)

    def _write(self, part: Part) -> None:
        path = self.directory / f"part-{part.number:06d}.parquet"
        unfinished = path.with_suffix(".unfinished")
        pq.write_table(part.table(), unfinished, compression="zstd")
        unfinished.rename(path)

    def _describe(self, *, closed: bool) -> None:
        counts = {name: getattr(self.tally, name) for name in self.tally.__slots__}
        described = {"format": FORMAT, "closed": closed, **self._metadata, "counts": counts}
        path = self.directory / METADATA
        unfinished = path.with_suffix(".unfinished")
        unfinished.write_text(json.dumps(described, indent=2) + "\n")
        unfinished.rename(path)


def read_metadata(directory: Path) -> dict[str, Any]:
    """Return what `ledger.json` says; raises LedgerError where the ledger is missing."""
    try:
        metadata = json.loads((directory / METADATA).read_text())
    except (OSError, ValueError) as error:
        raise LedgerError(f"{directory}: is not a ledger") from error
    if not isinstance(metadata, dict) or metadata.get("format") != FORMAT:
        raise LedgerError(f"{directory}: is not a ledger of format {FORMAT}")
    return metadata


def parts(directory: Path) -> list[Path]:
    """Return the parts of a ledger in the order of sending; raises LedgerError for other files."""
    paths = sorted(directory.glob("part-*.parquet"))
    for path in paths:
        try:
            names = pq.read_schema(path).names
        except (OSError, ValueError) as error:  # pyarrow's errors are among them
            raise LedgerError(f"{path}: cannot be read as Parquet") from error
        if names != SCHEMA.names:
            raise LedgerError(f"{path}: is not a part of a ledger of format {FORMAT}")
    return paths


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
    """Return the measures as one column per name, null where a stream has no such measure."""
    columns: dict[str, pa.Array[Any]] = {}
    for number, owner in enumerate(STREAMS):
        foreign = stream != number
        for position, name in enumerate(owner.measures):
            values = measures[:, position]
            columns[name] = pa.array(values, mask=foreign | np.isnan(values))
    return columns
