"""`python -m consumer partitions`: history's days, one partition of PostgreSQL's each."""

import time
from collections.abc import Callable, Iterable

import typer

from consumer.commands.servers import with_database
from consumer.commands.terminal import out, table
from consumer.errors import NotTheOwner
from consumer.postgres.connection import Connection
from consumer.postgres.days import Day, list_days
from consumer.postgres.sizes import Size, measure_tables
from consumer.settings import HistorySettings
from consumer.upkeep import retention
from runtime.settings import load
from runtime.terminal import fail
from telemetry.streams import STREAMS

app = typer.Typer(help="History's daily partitions.", no_args_is_help=True)


@app.command("list")
def list_command() -> None:
    """Show each partition: range, state, rows (estimated; ?: not yet analyzed), size."""

    async def work(connection: Connection) -> list[tuple[Day, Size]]:
        # A database without the schema would seem to have no days: this raises instead.
        for stream in STREAMS:
            await connection.execute("SELECT %s::regclass", [stream.history])
        days = await list_days(connection)
        sizes = await measure_tables(connection, [day.name for day in days])
        return [(day, sizes.get(day.name, Size())) for day in days]

    found = with_database(work)
    shown = table("history", "day (UTC)", "range", "state", "rows, about", "size")
    for stream in STREAMS:
        of_stream = [pair for pair in found if pair[0].history == stream.history]
        for day, size in of_stream:
            # A table for another range was attached by hand, and its name says more.
            label = day.name if day.utc_day is None else str(day.utc_day)
            shown.add_row(day.history, label, day.range, day.state, *_figures([size]))
        figures = _figures([size for _, size in of_stream])
        total = f"{len(of_stream)} in all"
        shown.add_row(stream.history, total, "", "", *figures, end_section=True)
    out.print(shown)


@app.command("maintain")
def maintain() -> None:
    """Make the days ahead and drop the days past the retention.

    Replicas do this by themselves, but only the owner of the histories may drop days. Exit code 1
    if this role may not.
    """
    history = load(HistorySettings)
    try:
        made, removal = with_database(
            lambda connection: retention.maintain(
                connection, history, now_us=time.time_ns() // 1_000
            )
        )
    except NotTheOwner as error:
        fail(str(error), code=1)
    names = f": {', '.join(removal.dropped)}" if removal.dropped else ""
    out.print(f"made {made}, dropped {len(removal.dropped)}{names}")
    for one in removal.waiting:
        out.print(f"to be removed later: {one.day}: {one.reason}")


def _figures(sizes: list[Size]) -> tuple[str, str]:
    """Return the sums of rows and of bytes, as the list shows them."""
    rows = _sum((size.rows for size in sizes), "{:,}".format)
    mebibytes = _sum((size.bytes for size in sizes), lambda n: f"{n / 1_048_576:,.1f} MiB")
    return rows, mebibytes


def _sum(values: Iterable[int | None], show: Callable[[int], str]) -> str:
    """Return the sum of the known values, with a ? if some are not known."""
    listed = list(values)
    known = [value for value in listed if value is not None]
    terms = [show(sum(known))] if known or not listed else []
    return " + ".join(terms if len(known) == len(listed) else [*terms, "?"])
