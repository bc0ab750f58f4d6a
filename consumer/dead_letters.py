"""Dead letters, for people to look at: what was refused, why, and the bytes that came."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg.rows import class_row

from consumer.database import Connection
from consumer.statements import statement


@dataclass(frozen=True, slots=True)
class Summary:
    """How many messages of a topic were refused for one reason."""

    topic: str
    reason: str
    messages: int
    redriven: int
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


@dataclass(frozen=True, slots=True)
class Letter:
    """One dead letter, whole; `headers` is a list of [name, base64 value]."""

    topic: str
    partition: int
    record_offset: int
    key: bytes | None
    value: bytes | None
    headers: list[list[str | None]]
    record_timestamp: datetime | None
    reason: str
    detail: str
    dead_lettered_at: datetime
    redriven_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """Which dead letters: of a group, and where given of one reason or topic."""

    consumer_group: str
    reason: str | None = None
    topic: str | None = None

    def parameters(self) -> dict[str, Any]:
        return {
            "consumer_group": self.consumer_group,
            "reason": self.reason,
            "topic": self.topic,
        }


async def count_dead_letters(connection: Connection, choice: Choice) -> list[Summary]:
    """Return the counts by topic and reason, most first within a topic."""
    async with connection.cursor(row_factory=class_row(Summary)) as cursor:
        await cursor.execute(statement("count_dead_letters"), choice.parameters())
        return await cursor.fetchall()


async def list_dead_letters(connection: Connection, choice: Choice, *, limit: int) -> list[Entry]:
    """Return the newest dead letters first, at most `limit` of them."""
    async with connection.cursor(row_factory=class_row(Entry)) as cursor:
        await cursor.execute(statement("list_dead_letters"), choice.parameters() | {"limit": limit})
        return await cursor.fetchall()


async def find_dead_letter(
    connection: Connection, choice: Choice, *, partition: int, offset: int
) -> Letter | None:
    """Return one dead letter by its place in Kafka; the choice names its topic."""
    async with connection.cursor(row_factory=class_row(Letter)) as cursor:
        await cursor.execute(
            statement("show_dead_letter"),
            choice.parameters() | {"partition": partition, "record_offset": offset},
        )
        return await cursor.fetchone()
