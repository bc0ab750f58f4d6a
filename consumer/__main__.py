"""Commands: `python -m consumer --help`."""

import asyncio
import shutil
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Annotated, NoReturn, TypeVar

import psycopg
import typer
import uvloop
from rich import box
from rich.console import Console
from rich.table import Table

from consumer import dead_letters, offsets, partitions, schema, service
from consumer.database import Connection, connect
from consumer.errors import PortTaken
from consumer.logs import configure_logs
from consumer.settings import (
    DatabaseSettings,
    GroupSettings,
    HistorySettings,
    Settings,
    describe,
)
from telemetry.reasons import Reason
from telemetry.settings import SettingsError, load
from telemetry.streams import BY_TOPIC

Result = TypeVar("Result")

# A narrow terminal wraps lines, which loses less than cut columns; in a pipe a row is a line.
LEAST_WIDTH = 120 if sys.stdout.isatty() else 200
out = Console(width=max(shutil.get_terminal_size().columns, LEAST_WIDTH), highlight=False)
errors = Console(stderr=True, soft_wrap=True)

SETTINGS_HELP = "Settings (environment):\n\n" + "\n\n".join(
    f"{name}{f' [{default}]' if default else ''}: {text}" for name, default, text in describe()
)

app = typer.Typer(
    help="Readings of smart meters and vehicles from Kafka into PostgreSQL, each exactly once.",
    epilog="Exit codes: 0 done, 1 failed, 2 wrong use or a wrong setting.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
schema_app = typer.Typer(help="Create or check the tables.", no_args_is_help=True)
partitions_app = typer.Typer(help="History's daily partitions.", no_args_is_help=True)
dead_letters_app = typer.Typer(help="Messages that are no readings.", no_args_is_help=True)
offsets_app = typer.Typer(help="How far each partition is stored.", no_args_is_help=True)
app.add_typer(schema_app, name="schema")
app.add_typer(partitions_app, name="partitions")
app.add_typer(dead_letters_app, name="dead-letters")
app.add_typer(offsets_app, name="offsets")

ReasonOption = Annotated[Reason | None, typer.Option(help="only this reason")]
TopicOption = Annotated[str | None, typer.Option(help="only this topic")]


@app.command(epilog=SETTINGS_HELP)
def run() -> None:
    """Run the service until SIGTERM; several replicas share the partitions."""
    settings = Settings()
    configure_logs(settings.log)
    sys.exit(uvloop.run(service.run(settings)))


@schema_app.command("apply")
def schema_apply() -> None:
    """Create what is missing, partitions of the days ahead included; safe to repeat."""
    history = load(HistorySettings)

    async def work(connection: Connection) -> list[str]:
        await schema.apply_schema(connection)
        differences = await schema.check_schema(connection)
        if not differences:
            await partitions.maintain(connection, history, now_us=time.time_ns() // 1_000)
        return differences

    _report_differences(_with_database(work))


@schema_app.command("check")
def schema_check() -> None:
    """Compare the database's tables with schema.sql; exit 1 where they differ."""
    _report_differences(_with_database(schema.check_schema))


@partitions_app.command("list")
def partitions_list() -> None:
    """Show each day's partition: state, rows (estimated), size."""
    found = _with_database(partitions.list_partitions)
    table = _table("history", "day (UTC)", "state", "rows, about", "size")
    for one in found:
        size = f"{one.bytes / 1_048_576:,.1f} MiB"
        table.add_row(one.history, str(one.day), one.state, f"{one.rows:,}", size)
    out.print(table)


@partitions_app.command("maintain")
def partitions_maintain() -> None:
    """Make the days ahead and drop the days past the retention; replicas do so by themselves."""
    history = load(HistorySettings)
    made, dropped = _with_database(
        lambda connection: partitions.maintain(connection, history, now_us=time.time_ns() // 1_000)
    )
    out.print(f"made {made}, dropped {len(dropped)}{': ' if dropped else ''}{', '.join(dropped)}")


@dead_letters_app.command("list")
def dead_letters_list(
    reason: ReasonOption = None,
    topic: TopicOption = None,
    limit: Annotated[int, typer.Option(min=0, help="how many to show, newest first")] = 20,
) -> None:
    """Count dead letters by reason, and show the newest."""
    choice = _choice(reason, topic)

    async def work(
        connection: Connection,
    ) -> tuple[list[dead_letters.Summary], list[dead_letters.Entry]]:
        counts = await dead_letters.count_dead_letters(connection, choice)
        return counts, await dead_letters.list_dead_letters(connection, choice, limit=limit)

    counts, entries = _with_database(work)
    if not counts:
        out.print("no dead letters")
        return
    table = _table("topic", "reason", "messages", "redriven", "first", "last")
    for count in counts:
        times = (f"{count.first:%F %H:%M}", f"{count.last:%F %H:%M}")
        table.add_row(
            count.topic, count.reason, f"{count.messages:,}", f"{count.redriven:,}", *times
        )
    out.print(table)
    if entries:
        table = _table("topic partition offset", "reason", "at (UTC)", "detail")
        for entry in entries:
            place = f"{entry.topic} {entry.partition} {entry.record_offset}"
            table.add_row(place, entry.reason, f"{entry.dead_lettered_at:%F %T}", entry.detail)
        out.print(table)


@dead_letters_app.command("show")
def dead_letters_show(
    topic: Annotated[str, typer.Argument(help="the topic it came from")],
    partition: Annotated[int, typer.Argument(help="its partition", min=0)],
    offset: Annotated[int, typer.Argument(help="its offset", min=0)],
) -> None:
    """Show one dead letter whole; bytes that are no text are shown escaped."""
    choice = _choice(None, topic)
    letter = _with_database(
        lambda connection: dead_letters.find_dead_letter(
            connection, choice, partition=partition, offset=offset
        )
    )
    if letter is None:
        _fail(f"no dead letter at {topic}/{partition} offset {offset}", code=1)
    rows = {
        "place": f"{letter.topic}/{letter.partition} offset {letter.record_offset}",
        "reason": letter.reason,
        "detail": letter.detail,
        "record time": _moment(letter.record_timestamp),
        "dead-lettered": _moment(letter.dead_lettered_at),
        "redriven": _moment(letter.redriven_at),
        "key": _shown(letter.key),
        "headers": str(letter.headers) if letter.headers else "none",
        "value": _shown(letter.value),
    }
    width = max(map(len, rows))
    for name, text in rows.items():
        out.print(f"{name:<{width}}  {text}", markup=False, highlight=False)


@offsets_app.command("show")
def offsets_show() -> None:
    """Show the next offset of each partition as PostgreSQL has it."""
    group = load(GroupSettings).consumer_group
    stored = _with_database(lambda connection: offsets.read_offsets(connection, group))
    table = _table("topic", "partition", "next offset")
    for place, offset in sorted(stored.items()):
        table.add_row(place.topic, str(place.partition), str(offset))
    out.print(table)


def main() -> None:
    """Run a command; a wrong setting or a server that refuses is one line, not a traceback."""
    try:
        app()
    except (SettingsError, PortTaken) as error:
        _fail(str(error), code=2)


def _with_database(work: Callable[[Connection], Awaitable[Result]]) -> Result:
    """Run the work on a connection; the command fails with one line where it cannot be done."""
    settings = load(DatabaseSettings)

    async def task() -> Result:
        connection = await connect(settings)
        try:
            return await work(connection)
        finally:
            await connection.close()

    try:
        return asyncio.run(task())
    except psycopg.Error as error:
        _fail(f"PostgreSQL: {' '.join(str(error).split())}", code=1)


def _choice(reason: Reason | None, topic: str | None) -> dead_letters.Choice:
    if topic is not None and topic not in BY_TOPIC:
        _fail(f"--topic: {topic!r} is none of {', '.join(BY_TOPIC)}", code=2)
    group = load(GroupSettings).consumer_group
    return dead_letters.Choice(consumer_group=group, reason=reason, topic=topic)


def _report_differences(differences: list[str]) -> None:
    for line in differences:
        errors.print(line, markup=False)
    if differences:
        _fail(f"the schema differs from schema.sql in {len(differences)} places", code=1)
    out.print("the schema is as it should be")


def _table(*headers: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD)
    for header in headers:
        numeric = header in {"messages", "redriven", "next offset", "rows, about", "size"}
        table.add_column(header, justify="right" if numeric else "left", no_wrap=header != "detail")
    return table


def _moment(time_or_none: object) -> str:
    return "never" if time_or_none is None else f"{time_or_none:%F %T%z}"


def _shown(content: bytes | None) -> str:
    """Return bytes as one line that cannot play tricks on a terminal."""
    return "null" if content is None else ascii(content)[2:-1]


def _fail(message: str, *, code: int) -> NoReturn:
    errors.print(f"error: {message}", markup=False, highlight=False)
    sys.exit(code)


if __name__ == "__main__":
    main()
