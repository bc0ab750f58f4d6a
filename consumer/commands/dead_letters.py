"""`python -m consumer dead-letters`: messages that are not readings."""

from contextlib import aclosing
from typing import Annotated

import typer

from consumer.commands.export import export
from consumer.commands.letters import (
    LAST_OFFSET,
    LAST_PARTITION,
    choice_of,
    choosing,
    none_of,
    place,
    print_counts,
)
from consumer.commands.purge import purge
from consumer.commands.redrive import redrive
from consumer.commands.servers import with_database
from consumer.commands.terminal import out, table
from consumer.dead_letters.table import (
    Choice,
    Entry,
    Letter,
    Summary,
    count_dead_letters,
    list_dead_letters,
    read_dead_letters,
)
from consumer.postgres.connection import Connection
from runtime.terminal import fail

# A terminal takes a minute to print a few megabytes, more than anyone reads.
SHOWN_BYTES = 1 << 16

app = typer.Typer(help="Messages that are not readings.", no_args_is_help=True)


@app.command("list")
@choosing
def list_command(
    choice: Choice,
    *,
    limit: Annotated[
        int, typer.Option(min=0, max=1_000_000, help="how many to show, newest first")
    ] = 20,
) -> None:
    """Count dead letters by reason, and show the newest."""

    async def work(connection: Connection) -> tuple[list[Summary], list[Entry], str]:
        counts = await count_dead_letters(connection, choice)
        none = "" if counts else await none_of(connection, choice)
        return counts, await list_dead_letters(connection, choice, limit=limit), none

    counts, entries, none = with_database(work)
    if not counts:
        out.print(none)
        return
    print_counts(counts)
    if entries:
        rows = table("topic partition offset", "reason", "at (UTC)", "kept", "detail")
        for entry in entries:
            time = f"{entry.dead_lettered_at:%F %T}"
            kept = "whole" if entry.is_whole else "beginning"
            rows.add_row(place(entry), entry.reason, time, kept, entry.detail)
        out.print(rows)


@app.command("show")
def show(
    topic: Annotated[str, typer.Argument(help="the topic it came from")],
    partition: Annotated[int, typer.Argument(help="its partition", min=0, max=LAST_PARTITION)],
    offset: Annotated[int, typer.Argument(help="its offset", min=0, max=LAST_OFFSET)],
) -> None:
    """Show one dead letter, as it is kept; bytes that are not text are shown escaped.

    Only the beginning of a key, headers or a value of over 64 KB is shown; `export` has all of it.
    """
    choice = choice_of(topic=topic, partition=partition, offset=offset)

    async def work(connection: Connection) -> Letter | str:
        async with aclosing(read_dead_letters(connection, choice)) as letters:
            letter = await anext(letters, None)
        what = f"dead letter at {topic}/{partition} offset {offset}"
        return letter or await none_of(connection, choice, what=what)

    letter = with_database(work)
    if isinstance(letter, str):
        fail(letter, code=1)
    fields = {
        "place": f"{letter.topic}/{letter.partition} offset {letter.record_offset}",
        "reason": letter.reason,
        "detail": letter.detail,
        "record time": _moment(letter.record_timestamp, missing="none that a calendar has"),
        "dead-lettered": _moment(letter.dead_lettered_at),
        "redriven": _moment(letter.redriven_at, missing="never"),
        "kept": _kept(letter),
        "key": _shown(letter.key),
        "headers": _headers(letter),
        "value": _shown(letter.value),
    }
    width = max(map(len, fields))
    for name, text in fields.items():
        out.print(f"{name:<{width}}  {text}")


for command in (redrive, export, purge):
    app.command(command.__name__)(command)


def _moment(time_or_none: object, *, missing: str = "") -> str:
    return missing if time_or_none is None else f"{time_or_none:%F %T%z}"


def _kept(letter: Letter) -> str:
    """Return in words how much of the message was kept."""
    if letter.is_whole:
        return "whole"
    parts = [f"{letter.header_count or 0:,} headers"]
    if letter.key_bytes is not None:
        parts.insert(0, f"a key of {letter.key_bytes:,} bytes")
    if letter.value_bytes is not None and letter.value_sha256 is not None:
        digest = letter.value_sha256.hex()
        parts.append(f"a value of {letter.value_bytes:,} bytes, SHA-256 {digest}")
    return f"the beginning of {', '.join(parts)}"


def _headers(letter: Letter) -> str:
    if not letter.headers:
        return "none"
    text = str(letter.headers)
    return text if len(text) <= SHOWN_BYTES else f"{text[:SHOWN_BYTES]} … `export` has all of them"


def _shown(content: bytes | None) -> str:
    """Return bytes as one line without control characters."""
    if content is None:
        return "null"
    line = ascii(content[:SHOWN_BYTES])[2:-1]
    if len(content) <= SHOWN_BYTES:
        return line
    return f"{line} … `export` has all {len(content):,} bytes"
