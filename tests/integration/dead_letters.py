"""Dead letters as tests write them."""

import base64
from datetime import datetime

from psycopg.types.json import Jsonb

from consumer.dead_letters.headers import StoredHeader
from consumer.dead_letters.table import Choice
from consumer.postgres.connection import Connection
from tests.integration.conftest import GROUP, NOW

CHOICE = Choice(consumer_group=GROUP)


async def write(
    connection: Connection,
    topic: str,
    offset: int,
    *,
    key: bytes | None = b"mtr-1",
    value: bytes | None = b"{",
    headers: list[StoredHeader] | None = None,
    reason: str = "malformed_json",
    partition: int = 0,
    at: datetime = NOW,
    group: str = GROUP,
) -> None:
    """Write a dead letter."""
    await connection.execute(
        "INSERT INTO dead_letter VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, 'detail', %s)",
        [group, topic, partition, offset, key, value, Jsonb(headers or []), NOW, reason, at],
    )


async def write_many(connection: Connection, topic: str, count: int) -> None:
    """Write letters of ten devices, each with its offset for a value."""
    await connection.execute(
        "INSERT INTO dead_letter SELECT %s, %s, 0, n, ('mtr-' || n %% 10)::bytea, n::text::bytea,"
        " '[]', now(), 'malformed_json', 'detail' FROM generate_series(1, %s) AS n",
        [GROUP, topic, count],
    )


def encoded(content: bytes) -> str:
    return base64.b64encode(content).decode()
