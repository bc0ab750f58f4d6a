"""Compares ledgers with what is stored, in DuckDB: from filled tables to a report."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

from producer_sim.devices.messages import canonical
from producer_sim.ledger.ledger import EmptyLedgerError, parts, read_metadata
from producer_sim.oracle.statements import statement
from producer_sim.oracle.verdict import MOST_EXAMPLES, Check, Report, Violation
from telemetry.streams import BY_TOPIC

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_CHECKS_OF_A_BUCKET = ("lost", "invented", "altered", "doubled", "wrong_outcome")
_CHECKS_OF_ALL = {
    "invented_dead_letter": "invented",
    "current_state": "current_state",
    "not_consumed": "not_consumed",
}
"""Check statement → the check whose violations it finds."""
CHECKS = tuple(dict.fromkeys((*_CHECKS_OF_A_BUCKET, *_CHECKS_OF_ALL.values())))
_MEMORY = "200MB"  # DuckDB spills to its file beyond this
_BUCKET_ROWS = 500_000
"""Messages that are compared at once: about as many as fit in that memory."""


@contextmanager
def workspace(folder: Path) -> "Iterator[DuckDBPyConnection]":
    """Yield a connection to a new DuckDB file in this folder, with empty tables."""
    configuration: dict[str, str | bool | int | float | list[str]] = {
        "memory_limit": _MEMORY,
        "threads": "2",
        "preserve_insertion_order": "false",
        "autoinstall_known_extensions": "false",
        "autoload_known_extensions": "false",
    }
    import duckdb  # noqa: PLC0415  only verify needs it, and it is slow to load

    with duckdb.connect(str(folder / "compare.duckdb"), config=configuration) as tables:
        tables.execute(statement("tables"))
        yield tables


def load_ledgers(tables: "DuckDBPyConnection", ledgers: list[Path]) -> tuple[str, ...]:
    """Load the ledgers' messages; return the ledgers that were not closed.

    Raises LedgerError for a directory that is not a ledger.
    """
    unclosed = []
    for number, ledger in enumerate(ledgers):
        if not read_metadata(ledger).get("closed"):
            unclosed.append(str(ledger))
        if files := [str(path) for path in parts(ledger)]:
            tables.execute(statement("load_ledger"), {"ledger": number, "parts": files})
    return tuple(unclosed)


def check_not_empty(tables: "DuckDBPyConnection", ledgers: list[Path]) -> None:
    """Raise EmptyLedgerError if a loaded ledger holds no acknowledged message."""
    rows = tables.execute(
        "SELECT DISTINCT ledger FROM message WHERE delivery = 'acknowledged'"
    ).fetchall()
    telling = {number for (number,) in rows}
    for number, ledger in enumerate(ledgers):
        if number not in telling:
            raise EmptyLedgerError(
                f"{ledger}: holds no acknowledged message, so there is nothing to compare"
            )


def compare(
    tables: "DuckDBPyConnection", *, exact: bool = False, unclosed: tuple[str, ...] = ()
) -> Report:
    """Run all checks on filled tables."""
    found = {name: _Found() for name in CHECKS}
    totals = Counter[str](dict(tables.execute(statement("totals_sent")).fetchall()))
    _hash_canonical_dead_letters(tables)
    tables.execute(statement("scope"))
    tables.execute(f"SET VARIABLE exact = {exact}")
    buckets = 1 + max(totals["messages"], _count(tables, "history")) // _BUCKET_ROWS
    tables.execute(f"SET VARIABLE buckets = {buckets}")
    for bucket in range(buckets):
        tables.execute(f"SET VARIABLE bucket = {bucket}")
        tables.execute(statement("fates"))
        for name in _CHECKS_OF_A_BUCKET:
            found[name].add(tables.execute(statement(f"check_{name}")))
        for figure, total in sorted(tables.execute(statement("totals_ended")).fetchall()):
            totals[figure] += total
    for name, check in _CHECKS_OF_ALL.items():
        found[check].add(tables.execute(statement(f"check_{name}")))
    return Report(
        checks=tuple(
            Check(name, result.violations, tuple(result.examples)) for name, result in found.items()
        ),
        totals=dict(totals),
        unclosed=unclosed,
    )


class _Found:
    """The number of violations of one check, and the first few of them."""

    def __init__(self) -> None:
        self.violations = 0
        self.examples: list[Violation] = []

    def add(self, rows: "DuckDBPyConnection") -> None:
        while block := rows.fetchmany(10_000):
            self.violations += len(block)
            missing = MOST_EXAMPLES - len(self.examples)
            self.examples += [Violation(*row) for row in block[:missing]]


def _count(tables: "DuckDBPyConnection", table: str) -> int:
    ((count,),) = tables.execute(f"SELECT count(*) FROM {table}").fetchall()  # noqa: S608  own name
    return int(count)


def _hash_canonical_dead_letters(tables: "DuckDBPyConnection") -> None:
    """Add the hashes of canonical messages that are dead letters: the ledger keeps only fields."""
    columns: dict[str, list[object]] = {
        "topic": [],
        "partition": [],
        "record_offset": [],
        "key_sha256": [],
        "value_sha256": [],
    }
    dead = tables.execute(statement("dead_canonical")).fetchall()
    for topic, partition, record_offset, device_id, recorded_at, *measures in dead:
        stream = BY_TOPIC[topic]
        value = canonical(stream, device_id, measures[: len(stream.measures)], recorded_at)
        hashes = sha256(device_id.encode()).hexdigest(), sha256(value).hexdigest()
        row = (topic, partition, record_offset, *hashes)
        for column, cell in zip(columns.values(), row, strict=True):
            column.append(cell)
    if dead:
        tables.register("rewritten", pa.table(columns))
        tables.execute(statement("rewrite"))
        tables.unregister("rewritten")
