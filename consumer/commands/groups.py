"""What a command's consumer group has stored, and which other groups have stored something."""

from collections.abc import Collection, Sequence

from consumer.commands.servers import with_database
from consumer.offsets import Offsets
from consumer.postgres.connection import Connection
from consumer.postgres.offsets import list_other_groups, read_offsets

MOST_GROUPS = 10


def nothing_of(group: str, what: str, others: Sequence[tuple[str, int]]) -> str:
    """Return the line that says that the group has none, and which `others` (group, count) have."""
    line = f"{group} (CONSUMER_GROUP) has no {what}"
    if not others:
        return line
    listed = ", ".join(f"{other} {count:,}" for other, count in others[:MOST_GROUPS])
    more = len(others) - MOST_GROUPS
    return f"{line}; other groups have: {listed}{f' and {more:,} more' if more > 0 else ''}"


def stored_offsets(group: str, topics: Collection[str]) -> tuple[Offsets, str]:
    """Return what the group has stored of the topics; if nothing, also the line that says so."""

    async def work(connection: Connection) -> tuple[Offsets, str]:
        found = await read_offsets(connection, group)
        stored = {place: offset for place, offset in found.items() if place.topic in topics}
        if stored:
            return stored, ""
        others = await list_other_groups(connection, group, topics)
        return stored, nothing_of(group, f"stored offsets of {', '.join(topics)}", others)

    return with_database(work)
