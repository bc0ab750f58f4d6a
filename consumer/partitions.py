"""History's daily partitions: made ahead and on demand, dropped whole when they are too old.

Two replicas may do any of this at once: making, and the last step of removal, are serialised by an
advisory lock within the transaction; a look at the expired days by one of the session, which
whoever comes second does not wait for.

A flush may have to wait for making, so removal gives way. What PostgreSQL locks meanwhile:

- DETACH CONCURRENTLY waits for the transactions that use the history and holds nothing while it
  does. No second day of the history can be detached before it is done.
- Its last step waits for those who read the day by name, FINALIZE for every older snapshot in the
  database too. Both hold SHARE UPDATE EXCLUSIVE on the history meanwhile: readers and writers go
  on, but ATTACH takes the same lock and stands behind them.
- DROP of a detached day waits for those who read it by name. Whoever names it stands behind.
"""

import asyncio
import time
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import NamedTuple

import structlog
from psycopg import errors, sql
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

# How long removal waits for others, and so may keep a flush that needs a new day waiting.
REMOVAL_TIMEOUT = "500ms"
_TO_BE_FINISHED_LATER = (
    errors.LockNotAvailable,
    errors.QueryCanceled,  # by the statement timeout
    errors.ObjectNotInPrerequisiteState,  # another day is being detached; a default partition
    errors.DependentObjectsStillExist,  # somebody's view of the day
)


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
        is_whole_day = (self.first, self.last) == (_number(day), _number(day) + 1)
        return day if is_whole_day or self.state == "detached" else None


class Measure(NamedTuple):
    """How large a partition is; `rows` is an estimate. None: not known."""

    rows: int | None = None
    bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Waiting:
    """A day that is still to be removed: how long this look waited for others, and why."""

    partition: str
    seconds: float
    reason: str


@dataclass(frozen=True, slots=True)
class Removal:
    """What a look at the expired days came to: the names dropped, and what has to wait."""

    dropped: list[str] = field(default_factory=list)
    waiting: list[Waiting] = field(default_factory=list)


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
        await connection.execute("SELECT pg_advisory_xact_lock(%s)", [_MAKING])
        partitions = [
            partition
            for partition in await list_partitions(connection)
            if partition.history == stream.history
        ]
        states = {partition.name: partition.state for partition in partitions}
        made = 0
        for day in sorted(days):
            if not _is_taken(day, partitions):
                state = states.get(_name(stream, _date(day)))
                await _make_partition(connection, stream, _date(day), state=state)
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
        log.error("history_day_partly_covered", history=partitions[0].history, day=str(_date(day)))
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
        create = sql.SQL("CREATE TABLE {partition} (LIKE {history} INCLUDING ALL)")
        await connection.execute(create.format(**names))
    if state == "detaching":
        # Not for longer than removal would: others need other days. The flush tries again.
        await _limit(connection, "lock_timeout")
        finalize = sql.SQL("ALTER TABLE {history} DETACH PARTITION {partition} FINALIZE")
        await connection.execute(finalize.format(**names))
    # A new one is attached empty and an old one has the CHECK that DETACH CONCURRENTLY leaves, so
    # there is nothing to scan.
    attach = sql.SQL(
        "ALTER TABLE {history} ATTACH PARTITION {partition} FOR VALUES FROM ({start}) TO ({end})"
    )
    await connection.execute(attach.format(**names))


async def drop_expired(connection: Connection, *, first_kept: date) -> Removal:
    """Remove the partitions of the days before, and finish what an interrupted removal left.

    Only whole days are removed: what somebody attached in another shape is theirs. A day that is
    half detached and to be kept after all is attached again. The connection is in autocommit:
    detaching concurrently cannot run in a transaction. Where others are in the way for
    REMOVAL_TIMEOUT, the rest of that history waits for the next look.
    """
    cursor = await connection.execute(
        "SELECT pg_try_advisory_lock(%s), current_setting('lock_timeout')", [_REMOVING]
    )
    row = await cursor.fetchone()
    removal = Removal()
    if row is None or not row[0]:
        return removal
    try:
        await connection.execute("SELECT set_config('lock_timeout', %s, false)", [REMOVAL_TIMEOUT])
        for stream in STREAMS:
            await _drop_expired(connection, stream, first_kept, removal)
    finally:
        await connection.execute(
            "SELECT pg_advisory_unlock(%s), set_config('lock_timeout', %s, false)",
            [_REMOVING, row[1]],
        )
    return removal


async def _drop_expired(
    connection: Connection, stream: Stream, first_kept: date, removal: Removal
) -> None:
    due = [
        (partition, partition.day)
        for partition in await list_partitions(connection)
        if partition.history == stream.history and partition.day is not None
        if partition.day < first_kept or partition.state == "detaching"
    ]
    # The one that is being detached first: until then no other can be.
    for partition, day in sorted(due, key=lambda pair: pair[0].state != "detaching"):
        begun = time.monotonic()
        try:
            if day >= first_kept:  # the retention was raised meanwhile
                await make_partitions(connection, stream, [_number(day)])
            elif await _drop(connection, partition):
                removal.dropped.append(partition.name)
        except _TO_BE_FINISHED_LATER as error:
            reason = error.diag.message_primary or ""
            waited = round(time.monotonic() - begun, 1)
            removal.waiting.append(Waiting(partition.name, waited, reason))
            return


async def _drop(connection: Connection, partition: Partition) -> bool:
    """Detach and drop the partition, unless somebody has attached it again meanwhile."""
    names = {
        "history": sql.Identifier(partition.history),
        "partition": sql.Identifier(partition.name),
    }
    if partition.state == "attached":
        detach = sql.SQL("ALTER TABLE {history} DETACH PARTITION {partition} CONCURRENTLY")
        await connection.execute(detach.format(**names))
    async with connection.transaction():
        # Attached again, its drop would lock the whole history: making is to see it gone or not.
        await connection.execute("SELECT pg_advisory_xact_lock(%s)", [_MAKING])
        states = {one.name: one.state for one in await list_partitions(connection)}
        state = states.get(partition.name, "dropped")
        if state == "detaching":
            # FINALIZE waits for one snapshot after the other, each within the lock timeout.
            await _limit(connection, "statement_timeout")
            finalize = sql.SQL("ALTER TABLE {history} DETACH PARTITION {partition} FINALIZE")
            await connection.execute(finalize.format(**names))
        if state in ("detaching", "detached"):
            await connection.execute(sql.SQL("DROP TABLE {partition}").format(**names))
            return True
    return False


async def _limit(connection: Connection, timeout: str) -> None:
    """Set a timeout of the rest of the transaction to removal's."""
    await connection.execute("SELECT set_config(%s, %s, true)", [timeout, REMOVAL_TIMEOUT])


async def maintain(
    connection: Connection, settings: HistorySettings, *, now_us: int
) -> tuple[int, Removal]:
    """Make today's partitions and those ahead, and drop what is past the retention.

    Returns the number made, and what the removal came to.
    """
    today = now_us // DAY_US
    made = 0
    for stream in STREAMS:
        days = range(today - 1, today + settings.partitions_ahead_days + 1)
        made += await make_partitions(connection, stream, days)
    # A day goes only when its last instant is past the retention.
    first_kept = _date(today - settings.history_retention_days)
    return made, await drop_expired(connection, first_kept=first_kept)


async def keep_maintained(database: Database, settings: HistorySettings) -> None:
    """Maintain the partitions for ever, at the start and then once an interval."""

    async def attempt() -> None:
        async with database.connection() as connection:
            made, removal = await maintain(connection, settings, now_us=time.time_ns() // 1_000)
        if made or removal.dropped:
            log.info("history_partitions_maintained", made=made, dropped=removal.dropped)
        for one in removal.waiting:
            log.info(
                "history_partition_removal_waits",
                partition=one.partition,
                waited_s=one.seconds,
                reason=one.reason,
            )

    while True:
        await database.patiently(attempt)
        await asyncio.sleep(settings.partitions_interval_s)


def _name(stream: Stream, day: date) -> str:
    return f"{stream.history}_{day:%Y%m%d}"


def _date(days_since_1970: int) -> date:
    return EPOCH.date() + timedelta(days=days_since_1970)


def _number(day: date) -> int:
    """Return the day in days since 1970."""
    return (day - EPOCH.date()).days
