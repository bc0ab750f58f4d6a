"""`python -m consumer offsets`: how far each partition is stored, and going on from elsewhere."""

from collections.abc import Collection, Mapping
from typing import Annotated

import typer
from aiokafka import TopicPartition

from consumer.commands.groups import stored_offsets
from consumer.commands.options import topics_of
from consumer.commands.reset import reset
from consumer.commands.servers import Unanswered, ask_kafka
from consumer.commands.terminal import note, out, table
from consumer.kafka import admin
from consumer.kafka.admin import Group
from consumer.kafka.diagnosis import find_unreadable
from consumer.kafka.unreadable import Unreadable
from consumer.offsets import Bounds, Offsets
from consumer.settings import GroupSettings, SourceSettings
from runtime.kafka.settings import KafkaSettings
from runtime.settings import load

app = typer.Typer(help="How far each partition is stored.", no_args_is_help=True)


@app.command("show")
def show(
    topic: Annotated[str | None, typer.Option(help="only this topic")] = None,
) -> None:
    """Show each partition's next offset, whether it fits Kafka's, and which replica owns it.

    "Behind" counts offsets, including those of transaction marks and aborted messages. A batch that
    stops its partition is looked for with this shell's KAFKA_UNPACKED_BATCH_MAX_BYTES.
    """
    topics = topics_of(topic)
    group, kafka = load(GroupSettings).consumer_group, load(KafkaSettings)
    stored, none = stored_offsets(group, topics)
    try:
        bounds = ask_kafka(lambda: admin.read_bounds(kafka, topics))
        members = ask_kafka(lambda: admin.read_group(kafka, group))
        behind = {
            place: stored[place]
            for place, log in bounds.items()
            if _has_next(log, stored.get(place))
        }
        source = load(SourceSettings)
        unreadable = ask_kafka(lambda: find_unreadable(kafka, source, behind)) if behind else {}
    except Unanswered as error:
        _show_stored(stored)
        note(f"only the stored offsets are shown: {error}")
    else:
        _show_all(stored, bounds, members, unreadable)
        _show_missing(topics, bounds)
        for place, why in sorted(unreadable.items()):
            note(_why(place, why))
    note(none)


def _has_next(log: Bounds, stored: int | None) -> bool:
    return stored is not None and log.earliest <= stored < log.end


def _why(place: TopicPartition, error: Unreadable) -> str:
    """Return the line that says why a partition cannot be read, and how to continue after it."""
    line = f"{place.topic}/{place.partition} stops at {error.offset}: {error.reason}"
    if error.end is None:
        return f"{line}; the end of the batch is not known"
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


app.command("reset")(reset)
