"""Copies what PostgreSQL holds, in one snapshot, into the tables of a comparison."""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import sql

from producer_sim.oracle.statements import statement
from runtime.postgres.session import connect
from telemetry.streams import STREAMS, Stream
from telemetry.timestamps import as_datetime

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_POLL_SECONDS = 0.25
_READING = ("device_id text", "recorded_at bigint", "m1 double", "m2 double", "m3 double")
_DEAD_LETTER = (
    "topic text",
    "partition integer",
    "record_offset bigint",
    "key_sha256 text",
    "value_sha256 text",
    "reason text",
    "is_redriven boolean",
)


class SnapshotError(Exception):
    """The database cannot be reached or read. The message is one line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """What is read: everything if `exact`, else what belongs to the ledgers."""

    consumer_group: str
    exact: bool


@contextmanager
def connected(database_url: str) -> Iterator[psycopg.Connection]:
    """Yield a connection; its errors are raised as SnapshotError."""
    try:
        with connect(database_url, application_name="wattline-simulator") as connection:
            yield connection
    except psycopg.Error as error:
        first_line = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise SnapshotError(f"the database cannot be read: {first_line}") from error


def wait_until_consumed(
    connection: psycopg.Connection,
    tables: "DuckDBPyConnection",
    *,
    consumer_group: str,
    seconds: float,
    on_poll: Callable[[int], None],
) -> None:
    """Wait until the group is past every acknowledged message, or has not moved for `seconds`.

    A group that is catching up has not lost anything yet. `on_poll` is called with the number of
    messages still to come.
    """
    ends = tables.execute(statement("ledger_ends")).fetchall()
    fewest, moved_at = math.inf, time.monotonic()
    while True:
        rows = connection.execute(statement("ingest_offset"), {"group": consumer_group}).fetchall()
        reached = {(topic, partition): offset for topic, partition, offset in rows}
        missing = sum(
            max(0, last + 1 - max(first, reached.get((topic, partition), 0)))
            for topic, partition, first, last in ends
        )
        on_poll(missing)
        if missing < fewest:
            fewest, moved_at = missing, time.monotonic()
        if not missing or time.monotonic() - moved_at >= seconds:
            return
        time.sleep(_POLL_SECONDS)


def take_snapshot(
    connection: psycopg.Connection,
    tables: "DuckDBPyConnection",
    *,
    scope: Scope,
    folder: Path,
) -> None:
    """Fill the tables of the comparison from one REPEATABLE READ, READ ONLY transaction."""
    reader = _Reader(connection, tables, folder)
    connection.read_only = True
    connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
    with connection.transaction():
        for stream in STREAMS:
            _read_stream(reader, tables, stream, scope)
        _read_dead_letters(reader, tables, scope)
        rows = connection.execute(statement("ingest_offset"), {"group": scope.consumer_group})
        if progress := rows.fetchall():
            tables.executemany("INSERT INTO progress VALUES (?, ?, ?)", progress)
    if scope.exact:
        tables.execute(statement("newest_in_history"))


class _Reader:
    """Copies a query's rows through a file, so that neither side holds them all in memory."""

    def __init__(
        self, connection: psycopg.Connection, tables: "DuckDBPyConnection", folder: Path
    ) -> None:
        self._connection = connection
        self._tables = tables
        self._file = folder / "snapshot.csv"

    def read(
        self,
        query: sql.SQL | sql.Composed,
        parameters: dict[str, Any],
        *,
        table: str,
        columns: tuple[str, ...],
        topic: str | None = None,
    ) -> None:
        with (
            self._file.open("wb") as file,
            self._connection.cursor() as cursor,
            cursor.copy(query, parameters) as copy,
        ):
            for block in copy:
                file.write(block)
        self._tables.execute(
            statement("load_csv").format(
                table=table,
                leading="$topic," if topic else "",
                types=dict(column.split() for column in columns),
            ),
            {"file": str(self._file)} | ({"topic": topic} if topic else {}),
        )
        self._file.unlink()


def _read_stream(
    reader: _Reader, tables: "DuckDBPyConnection", stream: Stream, scope: Scope
) -> None:
    devices, first_at, last_at = tables.execute(
        statement("ledger_devices"), {"topic": stream.topic}
    ).fetchall()[0]
    if not devices and not scope.exact:
        return
    parameters = {
        "exact": scope.exact,
        "devices": devices or [],
        "first_at": as_datetime(first_at or 0),
        "last_at": as_datetime(last_at or 0),
    }
    names: dict[str, sql.Composable] = {
        "id": sql.Identifier(stream.id_column),
        "measures": sql.SQL(", ").join(_measures(stream)),
    }
    for table, source in (("history", stream.history), ("current_state", stream.current_state)):
        reader.read(
            sql.SQL(statement(f"snapshot_{table}")).format(table=sql.Identifier(source), **names),
            parameters,
            table=table,
            columns=_READING,
            topic=stream.topic,
        )
    if not scope.exact:  # with `exact`, it follows from the whole history
        reader.read(
            sql.SQL(statement("snapshot_newest")).format(
                table=sql.Identifier(stream.history), **names
            ),
            parameters,
            table="newest",
            columns=_READING,
            topic=stream.topic,
        )


def _read_dead_letters(reader: _Reader, tables: "DuckDBPyConnection", scope: Scope) -> None:
    ends = tables.execute(statement("ledger_ends")).fetchall()
    topics, partitions, firsts, lasts = zip(*ends, strict=True) if ends else ((), (), (), ())
    reader.read(
        sql.SQL(statement("snapshot_dead_letter")),
        {
            "group": scope.consumer_group,
            "exact": scope.exact,
            "topics": list(topics),
            "partitions": list(partitions),
            "firsts": list(firsts),
            "lasts": list(lasts),
        },
        table="dead_letter",
        columns=_DEAD_LETTER,
    )


def _measures(stream: Stream) -> list[sql.Composable]:
    """Return the three measures of the comparison; a meter has two, its third is 0."""
    columns: list[sql.Composable] = [sql.Identifier(name) for name in stream.measures]
    return columns + [sql.SQL("0")] * (3 - len(columns))
