"""`python -m consumer partitions`: history's daily partitions."""

import time
from collections.abc import Callable, Iterable

import typer

from consumer.commands.terminal import out, table, with_database
from consumer.postgres import days
from consumer.postgres.database import Connection
from consumer.postgres.days import Measure, Partition
from consumer.settings import HistorySettings
from consumer.upkeep import retention
from runtime.settings import load
from telemetry.streams import STREAMS

app = typer.Typer(help="History's daily partitions.", no_args_is_help=True)


@app.command("list")
def list_command() -> None:
    """Show each partition: range, state, rows (estimated; ?: not yet analyzed), size."""

    async def work(connection: Connection) -> list[tuple[Partition, Measure]]:
        # Else a database without the schema would have no days, and nobody would know why.
        for stream in STREAMS:
            await connection.execute("SELECT %s::regclass", [stream.history])
        found = await days.list_partitions(connection)
        measures = await days.measure_partitions(connection, found)
        return [(one, measures.get(one.name, Measure())) for one in found]

    found = with_database(work)
    shown = table("history", "day (UTC)", "range", "state", "rows, about", "size")
    for stream in STREAMS:
        of_stream = [pair for pair in found if pair[0].history == stream.history]
        for one, measure in of_stream:
            # What is no day was made by somebody: its name says more.
            label = one.name if one.day is None else str(one.day)
            figures = _figures([measure])
            shown.add_row(one.history, label, one.range, one.state, *figures)
        figures = _figures([measure for _, measure in of_stream])
        total = f"{len(of_stream)} in all"
        shown.add_row(stream.history, total, "", "", *figures, end_section=True)
    out.print(shown)


@app.command("maintain")
def maintain() -> None:
    """Make the days ahead and drop the days past the retention; replicas do so by themselves."""
    history = load(HistorySettings)
    made, removal = with_database(
        lambda connection: retention.maintain(connection, history, now_us=time.time_ns() // 1_000)
    )
    names = f": {', '.join(removal.dropped)}" if removal.dropped else ""
    out.print(f"made {made}, dropped {len(removal.dropped)}{names}")
    for one in removal.waiting:
        out.print(f"to be removed later: {one.partition}: {one.reason}")


def _figures(measures: list[Measure]) -> tuple[str, str]:
    """Return the sums of rows and of bytes, for people."""
    rows = _sum((measure.rows for measure in measures), "{:,}".format)
    size = _sum((measure.bytes for measure in measures), lambda n: f"{n / 1_048_576:,.1f} MiB")
    return rows, size


def _sum(values: Iterable[int | None], show: Callable[[int], str]) -> str:
    """Return the sum; where some are not known it says so."""
    listed = list(values)
    known = [value for value in listed if value is not None]
    terms = [show(sum(known))] if known or not listed else []
    return " + ".join(terms if len(known) == len(listed) else [*terms, "?"])
