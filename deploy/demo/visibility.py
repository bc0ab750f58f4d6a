"""How long it takes from sending a message until its row is visible, measured from outside.

The onlooker reads the stored offsets from PostgreSQL twenty times a second. Rows and offset are
committed together, so once the offset is visible, all rows below it are.
"""

import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Self

import duckdb

from runtime.postgres.session import connect

_INTERVAL_S = 0.05


class Onlooker:
    """Notes in the background when each offset of each partition was first seen."""

    def __init__(self, *, database_url: str, consumer_group: str) -> None:
        self._database_url = database_url
        self._consumer_group = consumer_group
        self._seen: list[tuple[str, int, int, int]] = []
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

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

    def _look(self) -> None:
        known: dict[tuple[str, int], int] = {}
        with connect(self._database_url, application_name="wattline-demo") as connection:
            while not self._done.wait(_INTERVAL_S):
                rows = connection.execute(
                    "SELECT topic, partition, next_offset FROM ingest_offset"
                    " WHERE consumer_group = %s",
                    [self._consumer_group],
                ).fetchall()
                now = time.time_ns() // 1_000
                for topic, partition, offset in rows:
                    if known.get((topic, partition)) != offset:
                        known[topic, partition] = offset
                        self._seen.append((topic, partition, offset, now))
