"""`python -m consumer offsets`: how far each partition is stored, and going on from elsewhere."""

import asyncio
import logging
import sys
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Annotated, TypeVar

import typer
from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from consumer.commands.terminal import errors, fail, nothing_of, out, table, with_database
from consumer.kafka import admin
from consumer.kafka.admin import Group
from consumer.kafka.fetched import Unreadable
from consumer.kafka.unreadable import find_unreadable
from consumer.offsets import Bounds, Move, Offsets
from consumer.postgres import offsets
from consumer.postgres.connection import Connection
from consumer.settings import GroupSettings, SourceSettings
from runtime.settings import KafkaSettings, load
from telemetry.streams import BY_TOPIC
from telemetry.timestamps import parse_timestamp

app = typer.Typer(help="How far each partition is stored.", no_args_is_help=True)

Result = TypeVar("Result")

_US_PER_MS = 1_000


class Unanswered(Exception):  # noqa: N818  what Kafka left the question
    """Kafka could not be asked. The message is one line."""


@app.command("show")
def show(
    topic: Annotated[str | None, typer.Option(help="only this topic")] = None,
) -> None:
    """Show each partition's next offset, whether it fits Kafka's, and which replica owns it.

    Behind are offsets: the marks of transactions and what was aborted count too. A batch that
    stops its partition is looked for with this shell's KAFKA_UNPACKED_BATCH_MAX_BYTES.
    """
    topics = _topics(topic)
    group, kafka = load(GroupSettings).consumer_group, load(KafkaSettings)
    stored, none = _stored(group, topics)
    try:
        bounds = _ask(lambda: admin.read_bounds(kafka, topics))
        members = _ask(lambda: admin.read_group(kafka, group))
        behind = {
            place: stored[place]
            for place, log in bounds.items()
            if _has_next(log, stored.get(place))
        }
        source = load(SourceSettings)
        unreadable = _ask(lambda: find_unreadable(kafka, source, behind)) if behind else {}
    except Unanswered as error:
        _show_stored(stored)
        _note(f"the stored offsets alone: {error}")
    else:
        _show_all(stored, bounds, members, unreadable)
        _show_missing(topics, bounds)
        for place, why in sorted(unreadable.items()):
            _note(_why(place, why))
    _note(none)


def _has_next(log: Bounds, stored: int | None) -> bool:
    return stored is not None and log.earliest <= stored < log.end


def _why(place: TopicPartition, error: Unreadable) -> str:
    """Return the line that says what cannot be read, and how to go on behind it."""
    line = f"{place.topic}/{place.partition} stands at {error.offset}: {error.reason}"
    if error.end is None:
        return f"{line}; where the batch ends is not known"
    option = f"--topic {place.topic} --partition {place.partition} --to {error.end}"
    return f"{line}; the batch ends before {error.end}, and `offsets reset {option}` skips it"


def _show_missing(topics: Collection[str], bounds: Collection[TopicPartition]) -> None:
    missing = [topic for topic in topics if topic not in {one.topic for one in bounds}]
    if missing:
        out.print(f"Kafka has no topic {', '.join(missing)}: a replica makes it when it starts")


def _show_stored(stored: Offsets) -> None:
    if not stored:
        return
    rows = table("topic", "partition", "next offset")
    for place, offset in sorted(stored.items()):
        rows.add_row(place.topic, str(place.partition), str(offset))
    out.print(rows)


def _show_all(
    stored: Offsets,
    bounds: Mapping[TopicPartition, Bounds],
    group: Group,
    unreadable: Collection[TopicPartition],
) -> None:
    if not (stored or bounds):
        return
    rows = table("topic", "partition", "next offset", "earliest", "end", "behind", "state", "owner")
    for column in rows.columns[3:6]:
        column.justify = "right"
    for place in sorted(stored.keys() | bounds.keys()):
        offset, log = stored.get(place), bounds.get(place)
        figures = ("", "", "", "not in Kafka")
        if log is not None:
            state = "cannot be read" if place in unreadable else log.state(offset)
            figures = (str(log.earliest), str(log.end), str(log.behind(offset)), state)
        owner = group.owner(place)
        rows.add_row(
            place.topic,
            str(place.partition),
            "" if offset is None else str(offset),
            *figures,
            f"{owner.client} at {owner.host}" if owner else "",
        )
    out.print(rows)


@app.command("reset")
def reset(
    topic: Annotated[str, typer.Option(help="the topic")],
    to: Annotated[
        str,
        typer.Option(
            metavar="earliest|latest|OFFSET|TIME",
            help="where to go on; TIME is RFC 3339: the first message of then or later",
        ),
    ],
    partition: Annotated[
        list[int] | None,
        typer.Option(min=0, max=2**31 - 1, help="only this partition; may be repeated"),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="say what would be done")] = False,  # noqa: FBT002  a flag of the command line
    yes: Annotated[bool, typer.Option("--yes", help="do not ask")] = False,  # noqa: FBT002  likewise
) -> None:
    """Go on from another offset, once no replica owns the partitions.

    Messages that are read again are counted as duplicates and not stored twice. Those that are
    skipped are lost to this group. Both are counted in offsets, as `show` does.
    """
    topics = _topics(topic)
    if not (yes or dry_run or sys.stdin.isatty()):
        fail("offsets reset: there is no terminal to ask on; say --yes", code=2)
    group, kafka = load(GroupSettings).consumer_group, load(KafkaSettings)
    stored, none = _stored(group, topics)
    try:
        bounds = _chosen(topic, partition, _ask(lambda: admin.read_bounds(kafka, topics)))
        targets = _targets(to, bounds, kafka)
        members = _ask(lambda: admin.read_group(kafka, group))
    except Unanswered as error:
        fail(str(error), code=1)
    moves = [
        Move(partition=one.partition, bounds=log, stored=stored.get(one), to=targets[one])
        for one, log in sorted(bounds.items())
    ]
    _show_moves(topic, moves)
    _note(none)
    _refuse_owned(members, bounds.keys())
    if dry_run:
        return
    if not yes and not typer.confirm(f"Move these offsets of {group}?"):
        fail("nothing was moved", code=1)
    refused = with_database(
        lambda connection: offsets.move_offsets(connection, group, topic, moves)
    )
    if refused:
        fail(
            f"nothing was moved: {topic} {_listed(refused)} is no longer where it was shown to be",
            code=1,
        )
    out.print(f"moved {len(moves)} partitions of {topic}")
    # Else lag tools show the old offset until the next message is stored, and one that lies
    # ahead of PostgreSQL's would claim too much.
    try:
        _ask(lambda: admin.commit_offsets(kafka, group, targets))
    except Unanswered as error:
        _note(f"lag tools show the old offsets until the next flush: {error}")


def _show_moves(topic: str, moves: Collection[Move]) -> None:
    rows = table("topic", "partition", "state", "from", "to", "skipped", "read again")
    for column in rows.columns[3:]:
        column.justify = "right"
    for move in moves:
        rows.add_row(
            topic,
            str(move.partition),
            move.bounds.state(move.stored),
            "" if move.stored is None else str(move.stored),
            str(move.to),
            str(move.skipped),
            str(move.read_again),
        )
    out.print(rows)
    unread = sum(
        move.to - move.bounds.earliest for move in moves if (move.stored or 0) > move.bounds.end
    )
    if unread:
        out.print(
            f"Where {topic} was deleted and made again, {unread} more in front of the new offsets"
            " were never read; --to earliest reads them."
        )


def _refuse_owned(group: Group, partitions: Collection[TopicPartition]) -> None:
    """End the command where a replica owns one of the partitions, or is about to."""
    owners = {
        member: sorted(one.partition for one in member.partitions & set(partitions))
        for member in group.members
    }
    named = [
        f"{member.id} at {member.host} ({_listed(owned) if owned else 'joining'})"
        for member, owned in owners.items()
        if owned or not group.is_settled
    ]
    if named:
        fail(
            f"owned by {'; '.join(named)}: stop the replicas first. One that was killed, or has a"
            " KAFKA_GROUP_INSTANCE_ID, stays a member until KAFKA_SESSION_TIMEOUT_MS is over",
            code=1,
        )


def _topics(topic: str | None) -> list[str]:
    if topic is not None and topic not in BY_TOPIC:
        fail(f"--topic: {topic!r} is none of {', '.join(BY_TOPIC)}", code=2)
    return list(BY_TOPIC) if topic is None else [topic]


def _stored(group: str, topics: Collection[str]) -> tuple[Offsets, str]:
    """Return what the group has stored of the topics, and where that is nothing, who has some."""

    async def work(connection: Connection) -> tuple[Offsets, str]:
        found = await offsets.read_offsets(connection, group)
        stored = {place: offset for place, offset in found.items() if place.topic in topics}
        if stored:
            return stored, ""
        others = await offsets.list_other_groups(connection, group, topics)
        return stored, nothing_of(group, f"stored offsets of {', '.join(topics)}", others)

    return with_database(work)


def _chosen(
    topic: str, numbers: Collection[int] | None, bounds: Mapping[TopicPartition, Bounds]
) -> dict[TopicPartition, Bounds]:
    """Return the bounds of the partitions that are meant, all of them if none is named."""
    if not bounds:
        fail(f"Kafka has no topic {topic}", code=1)
    wanted = {TopicPartition(topic, number) for number in numbers or ()} or bounds.keys()
    unknown = [one.partition for one in wanted - bounds.keys()]
    if unknown:
        fail(f"--partition: {topic} has no {_listed(unknown)}, only 0 to {len(bounds) - 1}", code=2)
    return {one: log for one, log in bounds.items() if one in wanted}


def _targets(to: str, bounds: Mapping[TopicPartition, Bounds], kafka: KafkaSettings) -> Offsets:
    """Return the offset that `--to` means for each partition; raises Unanswered."""
    if to == "earliest":
        return {one: log.earliest for one, log in bounds.items()}
    ends = {one: log.end for one, log in bounds.items()}
    if to == "latest":
        return ends
    try:
        if not (to.isascii() and to.isdecimal()):
            instant_ms = -(-parse_timestamp(to) // _US_PER_MS)
            found = _ask(lambda: admin.find_times(kafka, bounds.keys(), instant_ms))
            _note_untimed(to, {one: log for one, log in bounds.items() if one not in found})
            return ends | found
        offset = int(to)
    except ValueError as error:
        fail(f"--to: {to[:40]!r} is neither earliest, latest nor an offset, and {error}", code=2)
    outside = [
        f"{one.partition} has {log.earliest} to {log.end}"
        for one, log in sorted(bounds.items())
        if not log.earliest <= offset <= log.end
    ]
    if outside:
        fail(
            f"--to: {to[:40]} is outside of Kafka's bounds: partition {', '.join(outside)}", code=2
        )
    return dict.fromkeys(bounds, offset)


def _note_untimed(to: str, bounds: Mapping[TopicPartition, Bounds]) -> None:
    """Say which partitions go to their end although they hold messages.

    Kafka compares the times of records, which are their producers': one that stamps in seconds has
    never sent anything since 1970.
    """
    numbers = [one.partition for one, log in bounds.items() if log.earliest < log.end]
    if numbers:
        _note(
            f"no message of {_listed(numbers)} is of {to} or later, by its time in Kafka: all are"
            " skipped"
        )


def _ask(question: Callable[[], Awaitable[Result]]) -> Result:
    """Return Kafka's answer; raises Unanswered."""
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # it would log every attempt

    async def answer() -> Result:
        return await question()

    try:
        return asyncio.run(answer())
    except TimeoutError:
        raise Unanswered(f"Kafka: no answer within {admin.PATIENCE_S:.0f} s") from None
    except (KafkaError, OSError) as error:
        raise Unanswered(f"Kafka: {' '.join(str(error).split())}") from error


def _note(line: str) -> None:
    if line:
        errors.print(line)


def _listed(partitions: Collection[int]) -> str:
    return f"partition {', '.join(map(str, sorted(partitions)))}"
