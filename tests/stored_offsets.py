"""The offsets that a group has stored in PostgreSQL, as an onlooker sees them."""

from typing import Any

import psycopg

Place = tuple[str, int]
"""A topic, and a partition of it."""
Offsets = dict[Place, int]


def stored_offsets(session: psycopg.Connection[Any], consumer_group: str) -> Offsets:
    """Return the next offset of each partition; raises psycopg.Error."""
    rows = session.execute(
        "SELECT topic, partition, next_offset FROM ingest_offset WHERE consumer_group = %s",
        [consumer_group],
        prepare=True,
    )
    return {(topic, partition): offset for topic, partition, offset in rows}
