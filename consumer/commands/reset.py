"""`python -m consumer offsets reset`: go on from another offset, on purpose."""

from collections.abc import Collection, Mapping
from typing import Annotated

import typer
from aiokafka import TopicPartition

from consumer.commands.confirmation import YesOption, confirm, need_an_answer
from consumer.commands.groups import stored_offsets
from consumer.commands.options import topics_of
from consumer.commands.servers import Unanswered, ask_kafka, with_database
from consumer.commands.terminal import note, out, table
from consumer.kafka import admin
from consumer.kafka.admin import Group
from consumer.move import Move
from consumer.offsets import Bounds, Offsets
from consumer.postgres import offsets
from consumer.settings import GroupSettings
from runtime.kafka.settings import KafkaSettings
from runtime.settings import load
from runtime.terminal import fail
from telemetry.timestamps import parse_timestamp

_US_PER_MS = 1_000


def reset(
    topic: Annotated[str, typer.Option(help="the topic")],
    to: Annotated[
        str,
        typer.Option(
            metavar="earliest|latest|OFFSET|TIME",
            help="where to continue; TIME (RFC 3339): at the first message of then or later",
        ),
    ],
    partition: Annotated[
        list[int] | None,
        typer.Option(min=0, max=2**31 - 1, help="only this partition; may be repeated"),
    ] = None,
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="show what would be done")] = False,
    yes: YesOption = False,
) -> None:
    """Continue from another offset, once no replica owns the partitions.

    Messages that are read again are counted as duplicates and not stored twice. Those that are
    skipped are lost to this group. Both are counted in offsets, as `show` does.
    """
    topics = topics_of(topic)
    need_an_answer(yes=yes, dry_run=dry_run)
    group, kafka = load(GroupSettings).consumer_group, load(KafkaSettings)
    stored, none = stored_offsets(group, topics)
    try:
        bounds = _chosen(topic, partition, ask_kafka(lambda: admin.read_bounds(kafka, topics)))
        targets = _targets(to, bounds, kafka)
        members = ask_kafka(lambda: admin.read_group(kafka, group))
    except Unanswered as error:
        fail(str(error), code=1)
    moves = [
        Move(partition=one.partition, bounds=log, stored=stored.get(one), to=targets[one])
        for one, log in sorted(bounds.items())
    ]
    _show_moves(topic, moves)
    note(none)
    _refuse_owned(members, bounds.keys())
    if dry_run:
        return
    confirm(f"move these offsets of {group}?", yes=yes, otherwise="nothing was moved")
    refused = with_database(
        lambda connection: offsets.move_offsets(connection, group, topic, moves)
    )
    if refused:
        fail(
            f"nothing was moved: {topic} {_listed(refused)} is no longer at the offset shown",
            code=1,
        )
    out.print(f"moved {len(moves)} partitions of {topic}")
    # Else lag tools show the old offset until the next message is stored; if it is ahead of
    # PostgreSQL's, they show too little lag.
    try:
        ask_kafka(lambda: admin.commit_offsets(kafka, group, targets))
    except Unanswered as error:
        note(f"lag tools show the old offsets until the next flush: {error}")


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
            f"If {topic} was deleted and created again, {unread} more in front of the new offsets"
            " were never read; --to earliest reads them."
        )


def _refuse_owned(group: Group, partitions: Collection[TopicPartition]) -> None:
    """End the command if a replica owns one of the partitions, or is about to."""
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
            found = ask_kafka(lambda: admin.find_times(kafka, bounds.keys(), instant_ms))
            _note_untimed(to, {one: log for one, log in bounds.items() if one not in found})
            return ends | found
        offset = int(to)
    except ValueError as error:
        fail(f"--to: {to[:40]!r} is not earliest, latest or an offset, and {error}", code=2)
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
    """Note which partitions go to their end although they hold messages.

    Kafka compares the times that producers stamp on records. All those of a producer that stamps
    in seconds are in 1970.
    """
    numbers = [one.partition for one, log in bounds.items() if log.earliest < log.end]
    if numbers:
        note(
            f"no message of {_listed(numbers)} is of {to} or later, by its time in Kafka: all are"
            " skipped"
        )


def _listed(partitions: Collection[int]) -> str:
    return f"partition {', '.join(map(str, sorted(partitions)))}"
