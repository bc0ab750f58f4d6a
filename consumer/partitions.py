"""History's daily partitions: made ahead and on demand, dropped whole when they are too old.

Two replicas may do any of this at once: making is serialised by an advisory lock within its
transaction, removal by one of the session, which whoever comes second does not wait for.
"""

import asyncio
import time
from collections.abc import Collection
from dataclasses import dataclass
from datetime import date, timedelta

import structlog
from psycopg import sql
from psycopg.rows import class_row

from consumer.database import Connection, Database
from consumer.settings import HistorySettings
from consumer.statements import statement
from telemetry.streams import STREAMS, Stream
from telemetry.timestamps import DAY_US, EPOCH

log = structlog.get_logger()

# Keys of the advisory locks: any constant that nobody else uses in this database.
_MAKING = 0x77617474_0001
_REMOVING = 0x77617474_0002


@dataclass(frozen=True, slots=True)
class Partition:
    """One UTC day of one history; `state`: attached, detaching or detached; `rows`: an estimate."""

    history: str
    name: str
    day: date
    state: str
    rows: int
    bytes: int


async def list_partitions(connection: Connection) -> list[Partition]:
    """Return the daily partitions, by history and day."""
    async with connection.cursor(row_factory=class_row(Partition)) as cursor:
        await cursor.execute(statement("list_partitions"))
        return await cursor.fetchall()


async def make_partitions(connection: Connection, stream: Stream, days: Collection[int]) -> int:
    """Make the partitions of these days, given in days since 1970, where they are missing.

    Returns how many were made. The lock that attaching takes on the history (SHARE UPDATE
    EXCLUSIVE) lets readers and writers go on.
    """
    async with connection.transaction():
        await connection.execute("SELECT pg_advisory_xact_lock(%s)", [_MAKING])
        states = {
            partition.name: partition.state for partition in await list_partitions(connection)
        }
        made = 0
        for day in sorted(days):
            state = states.get(_name(stream, _date(day)))
            if state != "attached":
                await _make_partition(connection, stream, _date(day), exists=state is not None)
                made += 1
    return made


async def _make_partition(
    connection: Connection, stream: Stream, day: date, *, exists: bool
) -> None:
    names = {
        "history": sql.Identifier(stream.history),
        "partition": sql.Identifier(_name(stream, day)),
        "start": sql.Literal(f"{day} 00:00:00+00"),
        "end": sql.Literal(f"{day + timedelta(days=1)} 00:00:00+00"),
    }
    if not exists:
        create = sql.SQL("CREATE TABLE {partition} (LIKE {history} INCLUDING ALL)")
        await connection.execute(create.format(**names))
    # A new one is attached empty, so there is nothing to validate and no CHECK is needed before.
    attach = sql.SQL(
        "ALTER TABLE {history} ATTACH PARTITION {partition} FOR VALUES FROM ({start}) TO ({end})"
    )
    await connection.execute(attach.format(**names))


async def drop_expired(connection: Connection, *, first_kept: date) -> list[str]:
    """Remove the partitions of the days before, and return their names.

    The connection is in autocommit: detaching concurrently cannot run in a transaction. What an
    interrupted removal left behind is finished.
    """
    cursor = await connection.execute("SELECT pg_try_advisory_lock(%s)", [_REMOVING])
    row = await cursor.fetchone()
    if row is None or not row[0]:
        return []
    try:
        expired = [
            partition
            for partition in await list_partitions(connection)
            if partition.day < first_kept or partition.state == "detaching"
        ]
        for partition in expired:
            await _drop(connection, partition)
    finally:
        await connection.execute("SELECT pg_advisory_unlock(%s)", [_REMOVING])
    return [partition.name for partition in expired]


async def _drop(connection: Connection, partition: Partition) -> None:
    names = {
        "history": sql.Identifier(partition.history),
        "partition": sql.Identifier(partition.name),
    }
    how = {"attached": "CONCURRENTLY", "detaching": "FINALIZE"}
    if partition.state in how:
        detach = sql.SQL("ALTER TABLE {history} DETACH PARTITION {partition} ").format(**names)
        await connection.execute(detach + sql.SQL(how[partition.state]))
    await connection.execute(sql.SQL("DROP TABLE {partition}").format(**names))


async def maintain(
    connection: Connection, settings: HistorySettings, *, now_us: int
) -> tuple[int, list[str]]:
    """Make today's partitions and those ahead, and drop what is past the retention.

    Returns the number made and the names dropped.
    """
    today = now_us // DAY_US
    made = 0
    for stream in STREAMS:
        days = range(today - 1, today + settings.partitions_ahead_days + 1)
        made += await make_partitions(connection, stream, days)
    # A day goes only when its last instant is past the retention.
    first_kept = _date(today - settings.history_retention_days)
    dropped = await drop_expired(connection, first_kept=first_kept)
    return made, dropped


async def keep_maintained(database: Database, settings: HistorySettings) -> None:
    """Maintain the partitions for ever, at the start and then once an interval."""

    async def attempt() -> None:
        async with database.connection() as connection:
            made, dropped = await maintain(connection, settings, now_us=time.time_ns() // 1_000)
        if made or dropped:
            log.info("history_partitions_maintained", made=made, dropped=dropped)

    while True:
        await database.patiently(attempt)
        await asyncio.sleep(settings.partitions_interval_s)


def _name(stream: Stream, day: date) -> str:
    return f"{stream.history}_{day:%Y%m%d}"


def _date(days_since_1970: int) -> date:
    return EPOCH.date() + timedelta(days=days_since_1970)
