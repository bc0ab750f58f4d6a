"""A broker and a consumer without faults, to compare ledgers with."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
from confluent_kafka import Message

from producer_sim.devices.records import NO_TIME, Record, Records
from producer_sim.ledger.ledger import Ledger
from producer_sim.oracle.compare import load_ledgers, workspace
from producer_sim.oracle.verdict import Report
from producer_sim.sending.partitions import Partitions
from telemetry.streams import METER, STREAMS
from telemetry.timestamps import SECOND_US

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

NOW = 1_770_717_600_000_000
MINUTE_US = 60 * SECOND_US
METERS = METER.topic

Key = tuple[str, str, int]


def digest(data: bytes | None) -> str | None:
    return None if data is None else sha256(data).hexdigest()


def cut(data: bytes) -> str:
    """Return what a dead letter that is not whole keeps of its value."""
    return f"{len(data)} {digest(data)} {digest(data[:1_024])}"


@dataclass
class World:
    """A broker and a consumer without faults, small enough to be obviously right."""

    history: dict[Key, tuple[float | None, ...]] = field(default_factory=dict)
    dead: list[tuple[object, ...]] = field(default_factory=list)
    ends: dict[tuple[str, int], int] = field(default_factory=dict)

    def append(self, record: Record, partition: int) -> int:
        """Store or dead-letter a record, and return its offset."""
        topic = STREAMS[record.stream].topic
        offset = self.ends.get((topic, partition), 0)
        self.ends[topic, partition] = offset + 1
        reason: str | None = record.kind.reason
        if record.recorded_at != NO_TIME:
            key = (topic, record.device_id, record.recorded_at)
            stored = self.history.setdefault(key, record.measures)
            reason = None if stored == record.measures else "conflicting_duplicate"
        if reason is not None:
            place = (topic, partition, offset)
            self.dead.append((*place, digest(record.key), digest(record.value), reason, False))
        return offset

    def refuse(self, record: Record, reason: str, *, redriven: bool) -> None:
        """Dead-letter the next record of partition 0, whatever it holds."""
        topic = STREAMS[record.stream].topic
        offset = self.ends.get((topic, 0), 0)
        self.ends[topic, 0] = offset + 1
        letter = (digest(record.key), digest(record.value), reason, redriven)
        self.dead.append((topic, 0, offset, *letter))

    def fill(self, tables: "DuckDBPyConnection") -> None:
        rows = [(*key, *padded(measures)) for key, measures in self.history.items()]
        newest = {row[:2]: row for row in sorted(rows)}.values()
        for table, content in (
            ("history", rows),
            ("newest", list(newest)),
            ("current_state", list(newest)),
            ("dead_letter", self.dead),
            ("progress", [(*place, end) for place, end in self.ends.items()]),
        ):
            if content:
                columns = [pa.array(column) for column in zip(*content, strict=True)]
                names = [f"column_{index}" for index in range(len(columns))]
                tables.register("content", pa.table(columns, names=names))
                tables.execute(f"INSERT INTO {table} SELECT * FROM content")
                tables.unregister("content")


def padded(measures: tuple[float | None, ...]) -> tuple[float | None, ...]:
    return measures + (0.0,) * (3 - len(measures))


def send(directory: Path, world: World, records: Records) -> None:
    """Acknowledge all records, and let the world take them."""
    ledger = Ledger(directory=directory, metadata={}, now_us=NOW)
    partitions = Partitions(count=3)
    chosen = [
        partitions[key] if key is not None else partitions.without_key(value)
        for key, value in zip(records.keys, records.values, strict=True)
    ]
    for index, take in enumerate(ledger.enter(records, chosen, NOW)):
        take(None, message(world.append(records.row(index), chosen[index])))
    ledger.close()


def message(offset: int) -> Message:
    return Message(topic="t", partition=0, offset=offset, key=None, value=None, error=None)


@contextmanager
def filled(folder: Path, world: World, *ledgers: Path) -> "Iterator[DuckDBPyConnection]":
    with workspace(folder) as connection:
        assert load_ledgers(connection, list(ledgers)) == ()
        world.fill(connection)
        yield connection


def violations(report: Report) -> dict[str, int]:
    return {check.name: check.violations for check in report.checks if check.violations}
