"""`python -m consumer dead-letters`: messages that are no readings."""

import asyncio
import json
import logging
import os
import re
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import aclosing, contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import wraps
from inspect import Signature, signature
from pathlib import Path
from typing import Annotated, Any, TextIO

import typer
from aiokafka.errors import KafkaError
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

from consumer import dead_letters
from consumer.commands.terminal import errors, fail, out, table, with_database
from consumer.database import Connection
from consumer.dead_letters import Choice, Letter, Summary
from consumer.redrive import Redrive, Tally
from consumer.settings import GroupSettings
from telemetry.reasons import Reason
from telemetry.settings import KafkaSettings, load
from telemetry.streams import BY_TOPIC
from telemetry.timestamps import EPOCH, MICROSECOND, parse_timestamp

app = typer.Typer(help="Messages that are no readings.", no_args_is_help=True)

ReasonOption = Annotated[Reason | None, typer.Option(help="only this reason")]
TopicOption = Annotated[str | None, typer.Option(help="only this topic")]

_AGE = re.compile(r"([0-9]{1,6})([dhm])")
_UNITS = {"d": "days", "h": "hours", "m": "minutes"}


def _choice(
    *,
    reason: ReasonOption = None,
    topic: TopicOption = None,
    since: Annotated[
        str | None, typer.Option(help="dead-lettered at this time or later (RFC 3339)")
    ] = None,
    until: Annotated[str | None, typer.Option(help="dead-lettered before this time")] = None,
    partition: Annotated[
        int | None, typer.Option(min=0, help="of --topic, only this partition")
    ] = None,
    offset: Annotated[
        int | None, typer.Option(min=0, help="of --partition, only this offset: one letter")
    ] = None,
) -> Choice:
    """Return what the options choose of CONSUMER_GROUP's letters."""
    if topic is not None and topic not in BY_TOPIC:
        fail(f"--topic: {topic!r} is none of {', '.join(BY_TOPIC)}", code=2)
    if partition is not None and topic is None:
        fail("--partition: needs --topic", code=2)
    if offset is not None and partition is None:
        fail("--offset: needs --topic and --partition", code=2)
    return Choice(
        consumer_group=load(GroupSettings).consumer_group,
        reason=reason,
        topic=topic,
        partition=partition,
        record_offset=offset,
        since=_time("--since", since),
        until=_time("--until", until),
    )


def _choosing(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options that choose letters, in the place of its parameter `choice`."""
    shared = signature(_choice).parameters
    own = [one for one in signature(command).parameters.values() if one.name != "choice"]

    @wraps(command)
    def with_options(**given: Any) -> None:
        chosen = {name: given.pop(name) for name in shared}
        command(choice=_choice(**chosen), **given)

    parameters = [*shared.values(), *own]
    # typer reads both.
    with_options.__signature__ = Signature(parameters)  # type: ignore[attr-defined]
    with_options.__annotations__ = {one.name: one.annotation for one in parameters}
    return with_options


@app.command("list")
@_choosing
def list_command(
    choice: Choice,
    *,
    limit: Annotated[int, typer.Option(min=0, help="how many to show, newest first")] = 20,
) -> None:
    """Count dead letters by reason, and show the newest."""

    async def work(connection: Connection) -> tuple[list[Summary], list[dead_letters.Entry]]:
        counts = await dead_letters.count_dead_letters(connection, choice)
        return counts, await dead_letters.list_dead_letters(connection, choice, limit=limit)

    counts, entries = with_database(work)
    if not counts:
        out.print("no dead letters")
        return
    _print_counts(counts)
    if entries:
        rows = table("topic partition offset", "reason", "at (UTC)", "detail")
        for entry in entries:
            time = f"{entry.dead_lettered_at:%F %T}"
            rows.add_row(_place(entry), entry.reason, time, entry.detail)
        out.print(rows)


@app.command("show")
def show(
    topic: Annotated[str, typer.Argument(help="the topic it came from")],
    partition: Annotated[int, typer.Argument(help="its partition", min=0)],
    offset: Annotated[int, typer.Argument(help="its offset", min=0)],
) -> None:
    """Show one dead letter whole; bytes that are no text are shown escaped."""
    choice = _choice(topic=topic, partition=partition, offset=offset)

    async def work(connection: Connection) -> Letter | None:
        async with aclosing(dead_letters.read_dead_letters(connection, choice)) as letters:
            return await anext(letters, None)

    letter = with_database(work)
    if letter is None:
        fail(f"no dead letter at {topic}/{partition} offset {offset}", code=1)
    fields = {
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
    width = max(map(len, fields))
    for name, text in fields.items():
        out.print(f"{name:<{width}}  {text}", markup=False, highlight=False)


@app.command("redrive")
@_choosing
def redrive(
    choice: Choice,
    *,
    again: Annotated[
        bool, typer.Option("--again", help="also what has been redriven before")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="count, and send nothing")] = False,
    rate: Annotated[
        int | None, typer.Option(min=1, help="messages a second at most [default: no limit]")
    ] = None,
) -> None:
    """Send dead letters to their topic again: bytes, key and headers as they came.

    What is sent is marked as redriven once the broker has acknowledged it, and left out from then
    on. Safe to interrupt and to repeat; two at once share the work. What is still bad becomes a
    new dead letter at its new offset.
    """
    kafka = load(KafkaSettings)
    # What keeps it from sending is said once, by the command itself.
    logging.getLogger("aiokafka").addHandler(logging.NullHandler())
    tally = Tally()

    async def work(connection: Connection) -> int:
        counts = await dead_letters.count_dead_letters(connection, choice)
        total = sum(count.messages for count in counts)
        known = 0 if again else sum(count.redriven for count in counts)
        if dry_run:
            if counts:
                _print_counts(counts)
            out.print(f"would send {total - known:,}, leave out {known:,} already redriven")
            return 0
        with _stopped_by_signal() as stop, _progress(total - known) as show_progress:
            await Redrive(
                connection=connection,
                kafka=kafka,
                choice=choice,
                again=again,
                rate=rate,
                stopping=stop.event,
                tally=tally,
            ).run(on_page=lambda: show_progress(tally.seen))
        tally.left_out["already redriven; --again sends it once more"] += known
        if not stop.event.is_set():
            # Counted at the beginning and never met: whoever has them sends them, or they are gone.
            elsewhere = max(0, total - tally.seen)
            tally.left_out["held, sent or removed by another command meanwhile"] += elsewhere
        return stop.code

    code = 1
    try:
        code = with_database(work)
    except KafkaError as error:
        fail(f"Kafka: {' '.join(str(error).split())}", code=1)
    finally:
        if not dry_run:
            _print_tally(tally, interrupted=code > 1)
    sys.exit(code)


@app.command("export")
@_choosing
def export(
    choice: Choice,
    *,
    file: Annotated[
        Path | None, typer.Option(dir_okay=False, help="where to [default: standard output]")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="replace the file")] = False,
) -> None:
    """Write dead letters as JSON lines, one a letter; bytes are in base64.

    A file is there whole or not at all.
    """

    def export_to(target: TextIO) -> int:
        async def work(connection: Connection) -> int:
            count = 0
            async with aclosing(dead_letters.read_dead_letters(connection, choice)) as letters:
                async for letter in letters:
                    target.write(json.dumps(letter.exported(choice.consumer_group)) + "\n")
                    count += 1
            return count

        return with_database(work)

    if file is None:
        export_to(sys.stdout)
        return
    if file.exists() and not force:
        fail(f"--file: {file} exists; --force replaces it", code=2)
    try:
        with _written_whole(file, force=force) as target:
            count = export_to(target)
    except OSError as error:
        fail(f"--file: {file}: {error.strerror or error}", code=1)
    out.print(f"{count:,} dead letters written to {file}", markup=False)


@app.command("purge")
def purge(
    older_than: Annotated[str, typer.Option(help="least age, as 30d, 12h or 90m")],
    reason: ReasonOption = None,
    topic: TopicOption = None,
    *,
    redriven_only: Annotated[
        bool, typer.Option("--redriven-only", help="only what has been redriven")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="count, and delete nothing")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="do not ask")] = False,
) -> None:
    """Delete old dead letters, for good."""
    choice = replace(
        _choice(reason=reason, topic=topic),
        until=datetime.now(UTC) - _age(older_than),
        redriven=True if redriven_only else None,
    )
    if not (dry_run or yes or sys.stdin.isatty()):
        fail("--yes: needed where nobody can be asked", code=2)
    counts = with_database(lambda connection: dead_letters.count_dead_letters(connection, choice))
    total = sum(count.messages for count in counts)
    if counts:
        _print_counts(counts)
    if dry_run:
        out.print(f"would delete {total:,}")
        return
    if not (yes or typer.confirm(f"delete {total:,} dead letters for good?")):
        fail("nothing was deleted", code=1)
    deleted = 0

    async def work(connection: Connection) -> int:
        nonlocal deleted
        with _stopped_by_signal() as stop:
            while not stop.event.is_set():
                page = await dead_letters.purge_dead_letters(connection, choice)
                deleted += page
                if page == 0:
                    break
            return stop.code

    try:
        code = with_database(work)
    finally:
        out.print(f"deleted {deleted:,}")
    sys.exit(code)


class _Stop:
    """Set by SIGINT or SIGTERM; the exit code is then the shell's for that signal."""

    def __init__(self) -> None:
        self.event = asyncio.Event()
        self.code = 0

    def set(self, number: int) -> None:
        self.code = 128 + number
        self.event.set()


@contextmanager
def _stopped_by_signal() -> Iterator[_Stop]:
    """Let what is in flight be finished when the command is to end."""
    stop, loop = _Stop(), asyncio.get_running_loop()
    numbers = (signal.SIGINT, signal.SIGTERM)
    for number in numbers:
        loop.add_signal_handler(number, stop.set, number)
    try:
        yield stop
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)


@contextmanager
def _progress(total: int) -> Iterator[Callable[[int], None]]:
    """Show on a terminal how many are done."""
    bar = Progress(
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=errors,
        transient=True,
        disable=not errors.is_terminal,
    )
    task = bar.add_task("", total=total)
    with bar:
        yield lambda done: bar.update(task, completed=done)


@contextmanager
def _written_whole(file: Path, *, force: bool) -> Iterator[TextIO]:
    """Write under another name in the same folder, and take the file's name at the end."""
    number, name = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.")
    written = Path(name)
    with open(number, "w", encoding="utf-8") as target:  # noqa: PTH123  it is open already
        try:
            yield target
            target.flush()
            os.fsync(target.fileno())
            if force:
                written.replace(file)
            else:
                file.hardlink_to(written)  # fails where the name was taken meanwhile
        finally:
            written.unlink(missing_ok=True)


def _print_counts(counts: list[Summary]) -> None:
    rows = table("topic", "reason", "messages", "redriven", "first", "last")
    for count in counts:
        times = (f"{count.first:%F %H:%M}", f"{count.last:%F %H:%M}")
        rows.add_row(
            count.topic, count.reason, f"{count.messages:,}", f"{count.redriven:,}", *times
        )
    out.print(rows)


def _print_tally(tally: Tally, *, interrupted: bool) -> None:
    word = "interrupted: " if interrupted else ""
    out.print(f"{word}sent {tally.sent:,}, left out {tally.left_out.total():,}")
    for cause, count in tally.left_out.most_common():
        if count:
            example = tally.examples.get(cause)
            first = f" (first: {_place(example)})" if example else ""
            out.print(f"left out {count:,}: {cause}{first}", markup=False)


def _place(letter: dead_letters.Entry | Letter) -> str:
    """Return a letter's id, as `show` takes it."""
    return f"{letter.topic} {letter.partition} {letter.record_offset}"


def _time(option: str, text: str | None) -> datetime | None:
    try:
        return None if text is None else EPOCH + parse_timestamp(text) * MICROSECOND
    except ValueError as error:
        fail(f"{option}: {text!r} is {error}", code=2)


def _age(text: str) -> timedelta:
    match = _AGE.fullmatch(text)
    if match is None:
        fail(f"--older-than: {text!r} is no age such as 30d, 12h or 90m", code=2)
    return timedelta(**{_UNITS[match[2]]: int(match[1])})


def _moment(time_or_none: object) -> str:
    return "never" if time_or_none is None else f"{time_or_none:%F %T%z}"


def _shown(content: bytes | None) -> str:
    """Return bytes as one line that cannot play tricks on a terminal."""
    return "null" if content is None else ascii(content)[2:-1]
