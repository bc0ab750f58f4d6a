"""Compare the database with the ledgers: wait, take a snapshot, run the checks."""

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from producer_sim.oracle.compare import check_not_empty, compare, load_ledgers, workspace
from producer_sim.oracle.snapshot import (
    Scope,
    connected,
    take_snapshot,
    wait_until_consumed,
)
from producer_sim.oracle.verdict import Report


def verify(
    ledgers: Sequence[Path],
    *,
    database_url: str,
    consumer_group: str,
    exact: bool = False,
    wait_seconds: float = 60.0,
    console: Console | None = None,
) -> Report:
    """Wait until the group has consumed the ledgers' messages, then run all checks.

    Raises LedgerError for a directory that is not a ledger, EmptyLedgerError for a ledger with
    nothing to compare, SnapshotError if the database cannot be reached or read.
    """
    with tempfile.TemporaryDirectory(prefix="verify-") as name:
        folder = Path(name)
        with workspace(folder) as tables:
            unclosed = load_ledgers(tables, list(ledgers))
            check_not_empty(tables, list(ledgers))
            with connected(database_url) as connection:
                with _waiting(console) as show:
                    wait_until_consumed(
                        connection,
                        tables,
                        consumer_group=consumer_group,
                        seconds=wait_seconds,
                        on_poll=show,
                    )
                take_snapshot(
                    connection,
                    tables,
                    scope=Scope(consumer_group=consumer_group, exact=exact),
                    folder=folder,
                )
            return compare(tables, exact=exact, unclosed=unclosed)


@contextmanager
def _waiting(console: Console | None) -> Iterator[Callable[[int], None]]:
    """Yield a function that shows how many messages are still to be consumed."""
    if console is None or not console.is_terminal:
        yield lambda _missing: None
        return
    columns = (
        TextColumn("waiting for the consumers"),
        BarColumn(),
        TextColumn("{task.fields[missing]:,} messages to come"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("", total=None, missing=0)

        def show(missing: int) -> None:
            if progress.tasks[0].total is None:
                progress.update(task, total=max(missing, 1))
            done = (progress.tasks[0].total or 0) - missing
            progress.update(task, completed=done, missing=missing)

        yield show
