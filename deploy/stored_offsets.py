"""The offsets that a group has stored in PostgreSQL, as an onlooker sees them."""

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import psycopg

from deploy.beside import beside
from runtime.postgres.session import connect

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


def watched(
    note: Callable[[Offsets], None], *, database_url: str, consumer_group: str, interval_s: float
) -> AbstractContextManager[None]:
    """Call `note` with the stored offsets, in a thread, once an interval until the block ends.

    While PostgreSQL is away there is nothing to see.
    """

    def watch(over: threading.Event) -> None:
        while not over.is_set():
            try:
                with connect(database_url, application_name="wattline-onlooker") as session:
                    while not over.wait(interval_s):
                        note(stored_offsets(session, consumer_group))
            except psycopg.Error:
                over.wait(interval_s)

    return beside(watch)
