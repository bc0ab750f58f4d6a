"""How long it takes from sending a message until its row is visible, measured from outside.

The onlooker reads the stored offsets from PostgreSQL twenty times a second. Rows and offset are
committed together, so once the offset is visible, all rows below it are.
"""

import time
from collections.abc import Sequence
from pathlib import Path

import duckdb

from deploy.stored_offsets import Offsets

LOOK_S = 0.05


class Visibility:
    """When each offset of each partition was first seen."""

    def __init__(self) -> None:
        self._known: Offsets = {}
        self._seen: list[tuple[str, int, int, int]] = []

    def note(self, offsets: Offsets) -> None:
        """Take what an onlooker has just seen."""
        now = time.time_ns() // 1_000
        for place, offset in offsets.items():
            if self._known.get(place) != offset:
                self._seen.append((*place, offset, now))
        self._known = offsets

    @property
    def last_change_us(self) -> int:
        """When an offset last changed, in microseconds since 1970 UTC; 0 if none has."""
        return max((seen[3] for seen in self._seen), default=0)

    def quantiles(self, ledger: Path, shares: Sequence[float]) -> list[float]:
        """Return the seconds within which these shares of the ledger's messages were visible."""
        with duckdb.connect() as database:
            database.execute(
                "CREATE TABLE seen (topic text, partition int, next_offset bigint, at_us bigint)"
            )
            database.executemany("INSERT INTO seen VALUES (?, ?, ?, ?)", self._seen)
            row = database.execute(
                """
                SELECT quantile_cont(seen.at_us - sent.sent_at, ?)
                FROM read_parquet(?) AS sent
                ASOF JOIN seen
                    ON seen.topic = sent.topic
                   AND seen.partition = sent.partition
                   AND seen.next_offset > sent.record_offset
                """,
                [list(shares), str(ledger / "part-*.parquet")],
            ).fetchone()
        assert row is not None  # noqa: S101  an aggregate has one row
        return [microseconds / 1e6 for microseconds in row[0] or [float("nan")] * len(shares)]
