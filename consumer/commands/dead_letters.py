"""`python -m consumer dead-letters`: messages that are no readings."""

from typing import Annotated

import typer

from consumer import dead_letters
from consumer.commands.terminal import fail, out, table, with_database
from consumer.database import Connection
from consumer.settings import GroupSettings
from telemetry.reasons import Reason
from telemetry.settings import load
from telemetry.streams import BY_TOPIC

app = typer.Typer(help="Messages that are no readings.", no_args_is_help=True)

ReasonOption = Annotated[Reason | None, typer.Option(help="only this reason")]
TopicOption = Annotated[str | None, typer.Option(help="only this topic")]


@app.command("list")
def list_command(
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

    counts, entries = with_database(work)
    if not counts:
        out.print("no dead letters")
        return
    rows = table("topic", "reason", "messages", "redriven", "first", "last")
    for count in counts:
        times = (f"{count.first:%F %H:%M}", f"{count.last:%F %H:%M}")
        rows.add_row(
            count.topic, count.reason, f"{count.messages:,}", f"{count.redriven:,}", *times
        )
    out.print(rows)
    if entries:
        rows = table("topic partition offset", "reason", "at (UTC)", "detail")
        for entry in entries:
            place = f"{entry.topic} {entry.partition} {entry.record_offset}"
            rows.add_row(place, entry.reason, f"{entry.dead_lettered_at:%F %T}", entry.detail)
        out.print(rows)


@app.command("show")
def show(
    topic: Annotated[str, typer.Argument(help="the topic it came from")],
    partition: Annotated[int, typer.Argument(help="its partition", min=0)],
    offset: Annotated[int, typer.Argument(help="its offset", min=0)],
) -> None:
    """Show one dead letter whole; bytes that are no text are shown escaped."""
    choice = _choice(None, topic)
    letter = with_database(
        lambda connection: dead_letters.find_dead_letter(
            connection, choice, partition=partition, offset=offset
        )
    )
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


def _choice(reason: Reason | None, topic: str | None) -> dead_letters.Choice:
    if topic is not None and topic not in BY_TOPIC:
        fail(f"--topic: {topic!r} is none of {', '.join(BY_TOPIC)}", code=2)
    group = load(GroupSettings).consumer_group
    return dead_letters.Choice(consumer_group=group, reason=reason, topic=topic)


def _moment(time_or_none: object) -> str:
    return "never" if time_or_none is None else f"{time_or_none:%F %T%z}"


def _shown(content: bytes | None) -> str:
    """Return bytes as one line that cannot play tricks on a terminal."""
    return "null" if content is None else ascii(content)[2:-1]
