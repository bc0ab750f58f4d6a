"""A reader beside the writers, which checks that everything agrees at every instant.

In REPEATABLE READ transactions, while faults go on, it checks that

- current state is the newest reading of history, for every device (promise 8);
- Kafka's committed offset is never beyond the stored one and never goes back (promise 7).

Of some instants it also keeps the stored offsets and the number of rows in history. Afterwards the
ledger says how many rows there had to be at these offsets, and so whether rows and offset moved in
one step. The promises are those of docs/guarantees.md.
"""

import threading
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import duckdb
import psycopg
from confluent_kafka import Consumer, KafkaException, TopicPartition

from deploy.beside import beside
from deploy.stored_offsets import Offsets, Place, stored_offsets
from telemetry.streams import STREAMS, Stream

_LOOK_S = 0.2
_KEPT = 200
_COMMITTED_TIMEOUT_S = 1.0


@dataclass(frozen=True, slots=True)
class Instant:
    """What one snapshot showed."""

    offsets: Offsets
    rows: int


class Reader:
    """Reads all the time; `violations` are lines for people."""

    def __init__(self, *, database_url: str, bootstrap: str, consumer_group: str) -> None:
        self._database_url = database_url
        self._bootstrap = bootstrap
        self._consumer_group = consumer_group
        self._reading = ExitStack()
        self._committed: dict[Place, int] = {}
        self._instants: list[Instant] = []
        self.looks = 0
        self.violations: list[str] = []
        self.failure: Exception | None = None

    def __enter__(self) -> Self:
        self._reading.enter_context(beside(self._read))
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Look no more."""
        self._reading.close()
        if self.failure is not None:
            self.violations.append(f"the reader ended: {self.failure!r}")
            self.failure = None

    def compare(self, ledger: Path) -> list[str]:
        """Return the instants at which rows and offsets did not agree, by the ledger.

        Nothing can be said if the fate of a message is unknown, because its offset is, too.
        """
        with duckdb.connect() as tables:
            tables.execute(
                "CREATE TABLE readings AS SELECT topic, partition, record_offset, device_id,"
                " recorded_at, delivery FROM read_parquet(?)"
                " WHERE recorded_at IS NOT NULL AND delivery <> 'failed'",
                [str(ledger / "*.parquet")],
            )
            unknown = tables.execute(
                "SELECT count(*) FROM readings WHERE delivery <> 'acknowledged'"
            ).fetchone()
            if unknown != (0,) or not self._instants:
                return []
            due = self._rows_due(tables)
        return [
            f"a reader saw {one.rows} rows where the offsets stood for {rows}"
            for one, rows in zip(self._instants, due, strict=True)
            if rows != one.rows
        ]

    def _rows_due(self, tables: duckdb.DuckDBPyConnection) -> list[int]:
        """Return for each instant how many different readings lie below its offsets."""
        # Only what has no copy is sent under another key, so copies are in one partition.
        tables.execute(
            "CREATE TABLE counted AS SELECT topic, partition, record_offset,"
            " row_number() OVER (PARTITION BY topic, partition ORDER BY record_offset) AS rows"
            " FROM (SELECT topic, partition, min(record_offset) AS record_offset FROM readings"
            " GROUP BY topic, partition, device_id, recorded_at)"
        )
        places = [
            (number, topic, partition, offset)
            for number, one in enumerate(self._instants)
            for (topic, partition), offset in one.offsets.items()
        ]
        tables.execute(
            "CREATE TABLE seen AS SELECT unnest($1) AS instant, unnest($2) AS topic,"
            " unnest($3) AS partition, unnest($4) AS next_offset",
            [list(column) for column in zip(*places, strict=True)],
        )
        found = tables.execute(
            "SELECT instant, coalesce(sum(rows), 0)::bigint"
            " FROM seen ASOF LEFT JOIN counted ON seen.topic = counted.topic"
            " AND seen.partition = counted.partition AND seen.next_offset > counted.record_offset"
            " GROUP BY instant ORDER BY instant"
        ).fetchall()
        return [rows for _, rows in found]

    def _read(self, over: threading.Event) -> None:
        consumer = Consumer(
            {
                "bootstrap.servers": self._bootstrap,
                "group.id": self._consumer_group,
                "log_level": 0,
            }
        )
        try:
            while not over.is_set():
                try:
                    with psycopg.connect(
                        self._database_url, autocommit=True, connect_timeout=3
                    ) as connection:
                        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
                        connection.read_only = True
                        while not over.wait(_LOOK_S):
                            self._look(connection, consumer)
                except psycopg.OperationalError:  # the server is away: this is a fault, not a find
                    over.wait(_LOOK_S)
        except Exception as error:  # noqa: BLE001  a thread's: kept until the reader is stopped
            self.failure = error
        finally:
            consumer.close()

    def _look(self, connection: psycopg.Connection, consumer: Consumer) -> None:
        committed = self._ask_committed(consumer)
        with connection.transaction():
            offsets = stored_offsets(connection, self._consumer_group)
            rows = 0
            for stream in STREAMS:
                rows += self._look_at(connection, stream)
        self.looks += 1
        if len(self._instants) < _KEPT:
            self._instants.append(Instant(offsets, rows))
        self._judge(committed, offsets)

    def _look_at(self, connection: psycopg.Connection, stream: Stream) -> int:
        """Return the rows of a history; its newest ones are to be the current state."""
        wrong, rows = connection.execute(
            f"""
            WITH newest AS (
                SELECT {stream.id_column} AS id, max(recorded_at) AS recorded_at, count(*) AS rows
                FROM {stream.history} GROUP BY 1
            )
            SELECT count(*) FILTER (
                       WHERE state.recorded_at IS DISTINCT FROM newest.recorded_at
                          OR NOT EXISTS (
                              SELECT FROM {stream.history} AS row
                              WHERE row.{stream.id_column} = newest.id
                                AND row.recorded_at = state.recorded_at
                                AND ({", ".join(f"row.{name}" for name in stream.measures)})
                                    IS NOT DISTINCT FROM
                                    ({", ".join(f"state.{name}" for name in stream.measures)})
                          )
                   ),
                   coalesce(sum(rows), 0)
            FROM newest FULL JOIN {stream.current_state} AS state
              ON state.{stream.id_column} = newest.id
            """
        ).fetchone() or (0, 0)
        if wrong:
            self.violations.append(
                f"a reader saw {wrong} devices of {stream.name} whose current state is not the"
                " newest of their history"
            )
        return int(rows)

    def _ask_committed(self, consumer: Consumer) -> dict[Place, int]:
        places = [
            TopicPartition(stream.topic, number) for stream in STREAMS for number in range(12)
        ]
        try:
            found = consumer.committed(places, timeout=_COMMITTED_TIMEOUT_S)
        except KafkaException:
            return {}
        return {(one.topic, one.partition): one.offset for one in found if one.offset >= 0}

    def _judge(self, committed: dict[Place, int], offsets: Offsets) -> None:
        for place, offset in committed.items():
            name = f"{place[0]}/{place[1]}"
            # Asked for before the snapshot: what is stored can only have grown since.
            if offset > offsets.get(place, 0):
                self.violations.append(
                    f"{name}: Kafka has {offset}, PostgreSQL {offsets.get(place)}"
                )
            if offset < self._committed.get(place, 0):
                self.violations.append(f"{name}: Kafka's offset went back to {offset}")
        self._committed |= committed
