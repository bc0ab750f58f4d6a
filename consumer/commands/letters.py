"""Which dead letters a command is about, by its options, and how a terminal shows them."""

from collections.abc import Callable
from functools import wraps
from inspect import Signature, signature
from typing import Annotated, Any

import typer

from consumer.commands.groups import nothing_of
from consumer.commands.options import time_of, topics_of
from consumer.commands.terminal import out, table
from consumer.dead_letters.table import Choice, Entry, Letter, Summary, count_of_other_groups
from consumer.postgres.connection import Connection
from consumer.settings import GroupSettings
from runtime.settings import load
from runtime.terminal import fail
from telemetry.reasons import Reason

# The largest that Kafka gives, and that PostgreSQL's columns hold.
LAST_PARTITION, LAST_OFFSET = 2**31 - 1, 2**63 - 1

ReasonOption = Annotated[Reason | None, typer.Option(help="only this reason")]
TopicOption = Annotated[str | None, typer.Option(help="only this topic")]


def choice_of(
    *,
    reason: ReasonOption = None,
    topic: TopicOption = None,
    since: Annotated[
        str | None, typer.Option(help="dead-lettered at this time or later (RFC 3339)")
    ] = None,
    until: Annotated[str | None, typer.Option(help="dead-lettered before this time")] = None,
    partition: Annotated[
        int | None,
        typer.Option(min=0, max=LAST_PARTITION, help="of --topic, only this partition"),
    ] = None,
    offset: Annotated[
        int | None,
        typer.Option(min=0, max=LAST_OFFSET, help="of --partition, only this offset: one letter"),
    ] = None,
) -> Choice:
    """Return what the options choose of CONSUMER_GROUP's letters."""
    topics_of(topic)
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
        since=time_of("--since", since),
        until=time_of("--until", until),
    )


def choosing(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options of `choice_of` in the place of its parameter `choice`."""
    shared = signature(choice_of).parameters
    own = [one for one in signature(command).parameters.values() if one.name != "choice"]

    @wraps(command)
    def with_options(**given: Any) -> None:
        chosen = {name: given.pop(name) for name in shared}
        command(choice=choice_of(**chosen), **given)

    parameters = [*shared.values(), *own]
    # typer reads both.
    with_options.__signature__ = Signature(parameters)  # type: ignore[attr-defined]
    with_options.__annotations__ = {one.name: one.annotation for one in parameters}
    return with_options


def print_counts(counts: list[Summary]) -> None:
    """Print the letters by topic and reason."""
    rows = table("topic", "reason", "messages", "redriven", "not whole", "first", "last")
    for count in counts:
        times = (f"{count.first:%F %H:%M}", f"{count.last:%F %H:%M}")
        figures = (f"{one:,}" for one in (count.messages, count.redriven, count.cut))
        rows.add_row(count.topic, count.reason, *figures, *times)
    out.print(rows)


async def none_of(
    connection: Connection, choice: Choice, *, what: str = "such dead letters"
) -> str:
    """Return the line that says that the group has no such letters, and which groups have some."""
    others = await count_of_other_groups(connection, choice)
    return nothing_of(choice.consumer_group, what, others)


def place(letter: Entry | Letter) -> str:
    """Return a letter's id, as `show` takes it."""
    return f"{letter.topic} {letter.partition} {letter.record_offset}"
