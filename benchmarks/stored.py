"""`make bench-stored`: does the drain rate hold when 300 million rows are stored already?

A database is filled with days of 10,000 meters and 10,000 vehicles, a reading a minute each, as
many whole days as were asked for and as the disk holds. Each round sends a backlog of the next
minutes of these same devices, to be drained into that database and into an empty one, in turn.
What is drained into the filled one stays there, so that the readings of a round follow those of the
last, in the index pages of a day that has lived. Before each drain comes a checkpoint: the filled
one then pays for pages that PostgreSQL writes to its log whole, once after a checkpoint. In a short
backlog they are a third of what is written, so this one is long enough to see the next checkpoint.
"""

import shutil
import time
import uuid
from datetime import UTC, datetime, timedelta
from typing import Annotated

import psycopg
import typer
from rich.progress import Progress, track

from benchmarks import history
from benchmarks.backlog import minutes_of, preload
from benchmarks.drain import Drain, Figures, LivedIn, console, drain, report
from benchmarks.servers import FOLDER, new_database, servers
from benchmarks.stored_days import ROWS_A_DAY, load_past

ROW_BYTES = 180
"""What a row takes with its part of the index."""
LEFT_FREE = 20_000_000_000
"""Bytes of the disk: for the log of PostgreSQL, the backlogs, the empty database, and others."""


def main(
    rows: Annotated[
        int, typer.Option(min=1, help="rows to be stored before, in whole days of 28.8 million")
    ] = 300_000_000,
    messages: Annotated[
        int, typer.Option(min=20_000, help="messages of each backlog")
    ] = 10_000_000,
    rounds: Annotated[int, typer.Option(min=1, help="rounds of two drains each")] = 2,
    record: Annotated[
        bool, typer.Option("--record", help="add the figures to docs/benchmarks/stored.jsonl")
    ] = False,
) -> None:
    """Drain backlogs into a database that is full of rows and into empty ones, in turn."""
    fleet = uuid.uuid4().hex[:6]
    step = timedelta(minutes=minutes_of(messages))
    empty: list[Drain] = []
    filled: list[Drain] = []
    with servers(purge=True) as addresses, new_database(addresses) as url:
        days = days_that_fit(-(-rows // ROWS_A_DAY))
        # The last backlog ends now: no reading lies in the future.
        at = datetime.now(UTC).replace(second=0, microsecond=0) - rounds * step
        begun = time.monotonic()
        with Progress(console=console) as progress:
            stored = load_past(url, fleet=fleet, days=days, end=at, progress=progress)
        console.print(f"{stored:,} rows, {days} days, took {time.monotonic() - begun:,.0f} s")
        for number in track(range(rounds), "measuring", console=console):
            backlog = preload(
                addresses, messages, "--no-ledger", "--quiet", *same_devices(fleet, at)
            )
            targets = (None, empty), (LivedIn(url, until=at), filled)
            # The other one first each time: vacuum and checkpoints of one drain run on.
            for into, drains in targets if number % 2 == 0 else reversed(targets):
                checkpoint(url)
                drains.append(drain(addresses, backlog, into=into))
                console.print(
                    f"round {number}, {'filled' if into else 'empty'}: {drains[-1].rate:,.0f}"
                )
            at += step
    figures: Figures = {
        "empty, messages/s": ([one.rate for one in empty], ",.0f"),
        "filled, messages/s": ([one.rate for one in filled], ",.0f"),
        "filled / empty": (
            [one.rate / other.rate for one, other in zip(filled, empty, strict=True)],
            ".2f",
        ),
    }
    report(f"{stored:,} rows stored; {empty[0].messages:,} messages, {rounds} rounds", figures)
    if record:
        spreads = {name: history.spread(values) for name, (values, _) in figures.items()}
        history.record(
            "stored", {"rows": stored, "messages": messages, "rounds": rounds, **spreads}
        )


def days_that_fit(wanted: int) -> int:
    """Return how many of these days the disk holds, and print it if it holds fewer.

    The disk is that of servers which are started here; of others nothing is known.
    """
    free = shutil.disk_usage(FOLDER).free
    days = min(wanted, (free - LEFT_FREE) // (ROWS_A_DAY * ROW_BYTES))
    if days < 1:
        typer.echo(f"error: {free // 10**9} GB are free: too few for a day of rows", err=True)
        raise typer.Exit(1)
    if days < wanted:
        console.print(f"{free // 10**9} GB are free: {days} days instead of {wanted}")
    return days


def same_devices(fleet: str, start: datetime) -> tuple[str, ...]:
    """Return the simulator's options for the devices that are stored, from this time on."""
    return "--fleet", fleet, "--start", f"{start:%Y-%m-%dT%H:%M:%SZ}"


def checkpoint(database_url: str) -> None:
    """Write out what waits, so that no drain pays for what was done before."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("CHECKPOINT")


if __name__ == "__main__":
    typer.run(main)
