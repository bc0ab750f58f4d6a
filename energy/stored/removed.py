"""Reads how far the retention has removed history."""

from typing import Any

from psycopg import AsyncConnection

from energy.device import BEGINNING
from energy.stored.statements import statement
from energy.stored.times import as_us
from telemetry.streams import Stream


async def read_removed_until(connection: AsyncConnection[dict[str, Any]], stream: Stream) -> int:
    """Return until when nothing is stored any more (µs since 1970); raises psycopg.Error."""
    cursor = await connection.execute(statement("removed_until"), {"stream": stream.name})
    row = await cursor.fetchone()
    return BEGINNING if row is None else as_us(row["until"])
