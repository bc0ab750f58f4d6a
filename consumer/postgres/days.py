"""History's daily partitions: listed, measured, and made ahead or on demand.

Two replicas may make them at once: an advisory lock within the transaction serialises it, and the
last step of a removal (consumer/upkeep/retention.py) too.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import NamedTuple

import structlog
from psycopg import sql
from psycopg.rows import class_row

from consumer.postgres.database import Connection
from consumer.postgres.statements import statement
from runtime import locks
from telemetry.streams import Stream
from telemetry.timestamps import DAY_US, EPOCH

log = structlog.get_logger()

# How long removal waits for others, and so may keep a flush that needs a new day waiting.
REMOVAL_TIMEOUT = "500ms"


@dataclass(frozen=True, slots=True)
class Partition:
    """A table of one history; `state`: attached, detaching or detached.

    `first` and `last` bound it in days since 1970 UTC, `range` is how PostgreSQL writes that; all
    three are None once it is detached. A default partition is one without bounds.
    """

    history: str
    name: str
    state: str
    range: str | None
    first: float | None
    last: float | None

    @property
    def day(self) -> date | None:
        """The UTC day that it is for; None where somebody made it for something else."""
        try:
            named = self.name.removeprefix(f"{self.history}_")
            day = datetime.strptime(f"{named}Z", "%Y%m%d%z").date()
        except ValueError:
            return None
        is_whole_day = (self.first, self.last) == (number_of(day), number_of(day) + 1)
        return day if is_whole_day or self.state == "detached" else None


class Measure(NamedTuple):
    """How large a partition is; `rows` is an estimate. None: not known."""

    rows: int | None = None
    bytes: int | None = None


async def list_partitions(connection: Connection) -> list[Partition]:
    """Return the partitions and what an interrupted removal left, by history and time."""
    async with connection.cursor(row_factory=class_row(Partition)) as cursor:
        await cursor.execute(statement("list_partitions"))
        return await cursor.fetchall()


async def measure_partitions(
    connection: Connection, partitions: Iterable[Partition]
) -> dict[str, Measure]:
    """Return the measures of those that are plain tables and still there, by name."""
    names = [partition.name for partition in partitions]
    cursor = await connection.execute(statement("measure_partitions"), {"names": names})
    return {name: Measure(rows, size) async for name, rows, size in cursor}


async def make_partitions(connection: Connection, stream: Stream, days: Collection[int]) -> int:
    """Make the partitions of these days, given in days since 1970, where they are missing.

    Returns how many were made. The lock that attaching takes on the history (SHARE UPDATE
    EXCLUSIVE) lets readers and writers go on.

    A day that is being removed is attached again, with the rows that it still has, so a reading
    on the edge of the retention is stored even if its day went between decoding and COPY: it was
    judged when it was decoded, and a verdict that changed with the time of a retry would be no
    verdict. The next look removes the day whole.

    Raises psycopg.errors.LockNotAvailable where that removal still waits for a reader.
    """
    async with connection.transaction():
        await take_making_lock(connection)
        partitions = [
            partition
            for partition in await list_partitions(connection)
            if partition.history == stream.history
        ]
        states = {partition.name: partition.state for partition in partitions}
        made = 0
        for day in sorted(days):
            if not _is_taken(day, partitions):
                state = states.get(_name(stream, date_of(day)))
                await _make_partition(connection, stream, date_of(day), state=state)
                made += 1
    return made


def _is_taken(day: int, partitions: list[Partition]) -> bool:
    """Say whether attached partitions hold the day, or so much of it that no other can.

    Usually that is its own; but somebody may have attached months, or days of another time zone.
    """
    bounds = sorted(
        (partition.first, partition.last)
        for partition in partitions
        if partition.state == "attached"
        and (partition.first is not None and partition.last is not None)
        and (partition.first < day + 1 and day < partition.last)
    )
    held_up_to: float = day
    for first, last in bounds:
        if first <= held_up_to:
            held_up_to = last
    if bounds and held_up_to < day + 1:
        # What falls into the gap cannot be stored: it waits until somebody fills it.
        log.error(
            "history_day_partly_covered", history=partitions[0].history, day=str(date_of(day))
        )
    return bool(bounds)


async def _make_partition(
    connection: Connection, stream: Stream, day: date, *, state: str | None
) -> None:
    names = {
        "history": sql.Identifier(stream.history),
        "partition": sql.Identifier(_name(stream, day)),
        "start": sql.Literal(f"{day} 00:00:00+00"),
        "end": sql.Literal(f"{day + timedelta(days=1)} 00:00:00+00"),
    }
    if state is None:
        # Vacuumed for every twentieth part that is new, not for every fifth: only what a vacuum has
        # seen is read from the index alone.
        create = sql.SQL(
            "CREATE TABLE {partition} (LIKE {history} INCLUDING ALL)"
            " WITH (autovacuum_vacuum_insert_scale_factor = 0.05)"
        )
        await connection.execute(create.format(**names))
    if state == "detaching":
        # Not for longer than removal would: others need other days. The flush tries again.
        await finish_detaching(connection, names, timeout="lock_timeout")
    # A new one is attached empty and an old one has the CHECK that DETACH CONCURRENTLY leaves, so
    # there is nothing to scan.
    attach = sql.SQL(
        "ALTER TABLE {history} ATTACH PARTITION {partition} FOR VALUES FROM ({start}) TO ({end})"
    )
    await connection.execute(attach.format(**names))


async def take_making_lock(connection: Connection) -> None:
    """Let nobody else make a partition, or drop one, until the transaction ends."""
    await connection.execute("SELECT pg_advisory_xact_lock(%s)", [locks.DAYS_MADE])


async def finish_detaching(
    connection: Connection, names: Mapping[str, sql.Composable], *, timeout: str
) -> None:
    """Finish a DETACH CONCURRENTLY that was interrupted, of `partition` from `history`.

    The timeout of that name, a setting of PostgreSQL's, is REMOVAL_TIMEOUT for the rest of the
    transaction.
    """
    await connection.execute("SELECT set_config(%s, %s, true)", [timeout, REMOVAL_TIMEOUT])
    finalize = sql.SQL("ALTER TABLE {history} DETACH PARTITION {partition} FINALIZE")
    await connection.execute(finalize.format(**names))


def _name(stream: Stream, day: date) -> str:
    return f"{stream.history}_{day:%Y%m%d}"


def date_of(days_since_1970: int) -> date:
    """Return the UTC day of that number."""
    return EPOCH.date() + timedelta(days=days_since_1970)


def first_kept_day(now_us: int, retention_days: int) -> date:
    """Return the oldest UTC day that is kept: one goes only when its last instant is past it."""
    return date_of(now_us // DAY_US - retention_days)


def number_of(day: date) -> int:
    """Return the day in days since 1970."""
    return (day - EPOCH.date()).days
