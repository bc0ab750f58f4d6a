"""The table of dead letters: counted, listed, read and deleted, for operators."""

import base64
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from psycopg import sql
from psycopg.rows import TupleRow, class_row

from consumer.dead_letters.headers import StoredHeader
from consumer.postgres.connection import Connection
from consumer.postgres.statements import statement

# The most letters that are in memory together, and their most bytes, unless it is one alone.
READ_AT_ONCE = 100
READ_BYTES_AT_ONCE = 16 << 20
PURGED_AT_ONCE = 1_000
_PLACES_AT_ONCE = 1_000

_Place = tuple[str, int, int]


@dataclass(frozen=True, slots=True)
class Summary:
    """How many messages of a topic were refused for one reason; `cut` were not kept whole."""

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

    If it is not whole, key, value and headers are the beginnings of what came, which had
    `key_bytes` and `value_bytes` bytes and `header_count` headers. The digest is of the whole.
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
        """Return what JSON can hold: bytes in base64, times by RFC 3339, the digest in hex.

        `value_text` is the value once more if it is UTF-8, for people and jq; else null.
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
    """Which dead letters of a group: those that meet every condition that is not None.

    `since` (inclusive) and `until` (exclusive) bound the time of dead-lettering. `redriven`:
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
    """Return which other groups have letters that meet the conditions, and how many, most first."""
    cursor = await connection.execute(on_chosen("count_of_other_groups"), choice.parameters())
    return [(group, count) async for group, count in cursor]


async def list_dead_letters(connection: Connection, choice: Choice, *, limit: int) -> list[Entry]:
    """Return the newest dead letters first, at most `limit` of them."""
    async with connection.cursor(row_factory=class_row(Entry)) as cursor:
        await cursor.execute(on_chosen("list_dead_letters"), choice.parameters() | {"limit": limit})
        return await cursor.fetchall()


async def read_dead_letters(connection: Connection, choice: Choice) -> AsyncGenerator[Letter, None]:
    """Yield the letters as they are kept, by their place in Kafka; few are in memory at a time."""
    async with (
        connection.transaction(),  # the server's cursor lives in one
        connection.cursor(name="dead_letters") as cursor,
    ):
        cursor.itersize = _PLACES_AT_ONCE
        await cursor.execute(on_chosen("measure_dead_letters"), choice.parameters())
        async for page in _pages(cursor):
            for letter in await _read(connection, choice, page):
                yield letter


async def _pages(measured: AsyncIterable[TupleRow]) -> AsyncIterator[list[_Place]]:
    """Yield the places of letters that are to be in memory together, from (*place, size) each."""
    page: list[_Place] = []
    left = READ_BYTES_AT_ONCE
    async for topic, partition, offset, size in measured:
        if page and (size > left or len(page) == READ_AT_ONCE):
            yield page
            page, left = [], READ_BYTES_AT_ONCE
        page.append((topic, partition, offset))
        left -= size
    if page:
        yield page


async def _read(connection: Connection, choice: Choice, page: Sequence[_Place]) -> list[Letter]:
    async with connection.cursor(row_factory=class_row(Letter)) as cursor:
        await cursor.execute(
            statement("read_dead_letters"),
            {"consumer_group": choice.consumer_group, **places_of(page)},
        )
        return await cursor.fetchall()


async def purge_dead_letters(connection: Connection, choice: Choice) -> int:
    """Delete a page of the letters, oldest first, and return its size: 0 when all are gone.

    Letters that a redrive holds are passed over.
    """
    cursor = await connection.execute(
        on_chosen("purge_dead_letters"), choice.parameters() | {"page": PURGED_AT_ONCE}
    )
    return cursor.rowcount


def places_of(places: Iterable[_Place]) -> dict[str, object]:
    """Return the parameters of a statement about the letters at these places."""
    listed = list(places)
    return {
        "topics": [topic for topic, _, _ in listed],
        "partitions": [partition for _, partition, _ in listed],
        "offsets": [offset for _, _, offset in listed],
    }


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
