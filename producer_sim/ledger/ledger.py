"""The ledger: every message that was sent and the broker's report on it, in Parquet parts.

A part is written once every message in it has its report, under a temporary name, and then
renamed. So a ledger can be read at any time, and a simulator that is killed leaves one that is
complete up to its last part. `ledger.json` says what made the ledger and whether it was closed.
"""

import json
from collections import deque
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from producer_sim.devices.records import Records
from producer_sim.ledger.part import SCHEMA, Part
from producer_sim.ledger.reports import Reporter, Tally

FORMAT = 1
METADATA = "ledger.json"


class LedgerError(Exception):
    """A directory cannot hold a new ledger, or does not hold one. The message is one line."""


class EmptyLedgerError(LedgerError):
    """A ledger holds no acknowledged message, so there is nothing to compare."""


class Ledger:
    """A ledger that is being written."""

    def __init__(self, *, directory: Path, metadata: dict[str, Any], now_us: int) -> None:
        """Begin a ledger in a new or empty directory; raises LedgerError for any other."""
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
    """Return the content of `ledger.json`; raises LedgerError if there is no ledger."""
    try:
        metadata = json.loads((directory / METADATA).read_text())
    except (OSError, ValueError) as error:
        raise LedgerError(f"{directory}: is not a ledger") from error
    if not isinstance(metadata, dict) or metadata.get("format") != FORMAT:
        raise LedgerError(f"{directory}: is not a ledger of format {FORMAT}")
    return metadata


def parts(directory: Path) -> list[Path]:
    """Return the parts of a ledger in the order of sending; raises LedgerError for a bad one."""
    paths = sorted(directory.glob("part-*.parquet"))
    for path in paths:
        try:
            names = pq.read_schema(path).names
        except (OSError, ValueError) as error:  # pyarrow's errors are subclasses
            raise LedgerError(f"{path}: cannot be read as Parquet") from error
        if names != SCHEMA.names:
            raise LedgerError(f"{path}: is not a part of a ledger of format {FORMAT}")
    return paths
