"""`python -m consumer partitions`: history's daily partitions."""

import time

import typer

from consumer import partitions
from consumer.commands.terminal import out, table, with_database
from consumer.settings import HistorySettings
from telemetry.settings import load

app = typer.Typer(help="History's daily partitions.", no_args_is_help=True)


@app.command("list")
def list_command() -> None:
    """Show each day's partition: state, rows (estimated), size."""
    found = with_database(partitions.list_partitions)
    rows = table("history", "day (UTC)", "state", "rows, about", "size")
    for one in found:
        size = f"{one.bytes / 1_048_576:,.1f} MiB"
        rows.add_row(one.history, str(one.day), one.state, f"{one.rows:,}", size)
    out.print(rows)


@app.command("maintain")
def maintain() -> None:
    """Make the days ahead and drop the days past the retention; replicas do so by themselves."""
    history = load(HistorySettings)
    made, dropped = with_database(
        lambda connection: partitions.maintain(connection, history, now_us=time.time_ns() // 1_000)
    )
    out.print(f"made {made}, dropped {len(dropped)}{': ' if dropped else ''}{', '.join(dropped)}")
