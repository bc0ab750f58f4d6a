"""Dead letters, for people to look at and to be rid of: what was refused, why, and what came."""

import base64
from collections.abc import AsyncGenerator
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from psycopg import sql
from psycopg.rows import class_row

from consumer.postgres.connection import Connection
from consumer.postgres.statements import statement

READ_AT_ONCE = 100  # letters; one may be as large as the broker lets a message be
PURGED_AT_ONCE = 1_000

# [name, base64 of the value or None]; where PostgreSQL cannot hold the name as it is, a third
# element follows: the base64 of the name's bytes.
StoredHeader = list[str | None]


@dataclass(frozen=True, slots=True)
class Summary:
    """How many messages of a topic were refused for one reason; `cut`: not kept whole."""

    topic: str
    reason: str
    messages: int
    redriven: int
    cut: int
    first: datetime
    last: datetime


@dataclass(frozen=True, slots=True)
class Entry:
    """One dead letter in a list."""

    topic: str
    partition: int
    record_offset: int
    reason: str
    detail: str
    dead_lettered_at: datetime
    redriven_at: datetime | None
    is_whole: bool


@dataclass(frozen=True, slots=True)
class Letter:
    """One dead letter, as it is kept.

    Where it is not whole, key, value and headers are the beginnings of what came: of `key_bytes`
    and `value_bytes` bytes, and `header_count` headers. The digest is that of the whole value.
    """

    topic: str
    partition: int
    record_offset: int
    key: bytes | None
    value: bytes | None
    headers: list[StoredHeader]
    record_timestamp: datetime | None
    reason: str
    detail: str
    dead_lettered_at: datetime
    redriven_at: datetime | None
    is_whole: bool
    key_bytes: int | None
    value_bytes: int | None
    value_sha256: bytes | None
    header_count: int | None

    def exported(self, consumer_group: str) -> dict[str, object]:
        """Return what JSON can hold: bytes in base64, times by RFC 3339.

        `value_text` is the value once more where it is UTF-8, for people and jq; else null. The
        digest is in hex.
        """
        return {
            "consumer_group": consumer_group,
            "topic": self.topic,
            "partition": self.partition,
            "offset": self.record_offset,
            "key": _base64(self.key),
            "value": _base64(self.value),
            "value_text": _text(self.value),
            "headers": self.headers,
            "record_timestamp": _rfc3339(self.record_timestamp),
            "reason": self.reason,
            "detail": self.detail,
            "dead_lettered_at": _rfc3339(self.dead_lettered_at),
            "redriven_at": _rfc3339(self.redriven_at),
            "is_whole": self.is_whole,
            "key_bytes": self.key_bytes,
            "value_bytes": self.value_bytes,
            "value_sha256": None if self.value_sha256 is None else self.value_sha256.hex(),
            "header_count": self.header_count,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """Which dead letters: those of a group to which everything that is given applies.

    `since` and `until` bound the time of dead-lettering, the latter exclusively; `redriven` says
    whether they have been redriven.
    """

    consumer_group: str
    reason: str | None = None
    topic: str | None = None
    partition: int | None = None
    record_offset: int | None = None
    since: datetime | None = None
    until: datetime | None = None
    redriven: bool | None = None

    def parameters(self) -> dict[str, Any]:
        return asdict(self)


async def count_dead_letters(connection: Connection, choice: Choice) -> list[Summary]:
    """Return the counts by topic and reason, most first within a topic."""
    async with connection.cursor(row_factory=class_row(Summary)) as cursor:
        await cursor.execute(on_chosen("count_dead_letters"), choice.parameters())
        return await cursor.fetchall()


async def count_of_other_groups(connection: Connection, choice: Choice) -> list[tuple[str, int]]:
    """Return which other groups have letters such as are chosen, and how many, most first."""
    cursor = await connection.execute(on_chosen("count_of_other_groups"), choice.parameters())
    return [(group, count) async for group, count in cursor]


async def list_dead_letters(connection: Connection, choice: Choice, *, limit: int) -> list[Entry]:
    """Return the newest dead letters first, at most `limit` of them."""
    async with connection.cursor(row_factory=class_row(Entry)) as cursor:
        await cursor.execute(on_chosen("list_dead_letters"), choice.parameters() | {"limit": limit})
        return await cursor.fetchall()


async def read_dead_letters(connection: Connection, choice: Choice) -> AsyncGenerator[Letter, None]:
    """Yield the letters as they are kept, by their place in Kafka, a few in memory at a time."""
    async with (
        connection.transaction(),  # the server's cursor lives in one
        connection.cursor(name="dead_letters", row_factory=class_row(Letter)) as cursor,
    ):
        cursor.itersize = READ_AT_ONCE
        await cursor.execute(on_chosen("read_dead_letters"), choice.parameters())
        async for letter in cursor:
            yield letter


async def purge_dead_letters(connection: Connection, choice: Choice) -> int:
    """Delete a page of the letters, oldest first, and return its size: 0 when all are gone.

    Letters that a redrive holds are passed over.
    """
    cursor = await connection.execute(
        on_chosen("purge_dead_letters"), choice.parameters() | {"page": PURGED_AT_ONCE}
    )
    return cursor.rowcount


def on_chosen(name: str) -> sql.Composed:
    """Return the named statement, about the letters that a choice's parameters describe."""
    return sql.SQL(statement(name)).format(chosen=sql.SQL(statement("chosen_dead_letters")))


def _base64(content: bytes | None) -> str | None:
    return None if content is None else base64.b64encode(content).decode()


def _text(content: bytes | None) -> str | None:
    try:
        return None if content is None else content.decode()
    except UnicodeDecodeError:
        return None


def _rfc3339(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()
