"""Retention: history's days are made ahead, and removed whole once they are past it.

An advisory lock of the session lets one look at the expired days be under way at a time; a second
one does not wait for it. The last step of a removal and making come one after the other.

Removing takes the owner of the histories. A replica that is not leaves it to `partitions maintain`,
and shows how many days are overdue.

A flush may have to wait for making, so removal gives way. What PostgreSQL locks meanwhile:

- DETACH CONCURRENTLY waits for the transactions that use the history, and holds nothing while it
  does. No second day of the history can be detached before it is done.
- Its last step waits for the sessions that read the day by name, and FINALIZE for every older
  snapshot in the database too. Both hold SHARE UPDATE EXCLUSIVE on the history meanwhile: readers
  and writers go on, but ATTACH takes the same lock and waits behind them.
- DROP of a detached day waits for the sessions that read it by name. Later ones wait behind it.
"""

import asyncio
import time
from dataclasses import dataclass, field
from datetime import date

import psycopg
import structlog
from psycopg import errors, sql

from consumer.errors import NotTheOwner
from consumer.metrics import Metrics
from consumer.postgres.connection import Connection
from consumer.postgres.database import Database
from consumer.postgres.days import (
    REMOVAL_TIMEOUT,
    Day,
    finish_detaching,
    first_kept_day,
    list_days,
    make_days,
    number_of,
    take_making_lock,
)
from consumer.postgres.failures import is_refusal
from consumer.postgres.refusals import RETENTION, Work
from consumer.postgres.statements import statement
from consumer.settings import HistorySettings
from runtime.postgres import locks
from telemetry.streams import STREAMS, Stream
from telemetry.timestamps import DAY_US

log = structlog.get_logger()

_TO_BE_FINISHED_LATER = (
    errors.LockNotAvailable,
    errors.QueryCanceled,  # by the statement timeout
    errors.ObjectNotInPrerequisiteState,  # another day is being detached; a default partition
    errors.DependentObjectsStillExist,  # a view of the day, say
)


@dataclass(frozen=True, slots=True)
class Waiting:
    """A day that is still to be removed: how long this look waited for others, and why."""

    day: str
    seconds: float
    reason: str


@dataclass(frozen=True, slots=True)
class Removal:
    """The result of a look at the expired days: the tables dropped, and the days that wait."""

    dropped: list[str] = field(default_factory=list)
    waiting: list[Waiting] = field(default_factory=list)


async def drop_expired(connection: Connection, *, first_kept: date) -> Removal:
    """Remove the days before `first_kept`, and finish what an interrupted removal left.

    Only whole UTC days are removed: a table that was attached by hand for another range stays. A
    day that is half detached and to be kept after all is attached again. The connection must be in
    autocommit: detaching concurrently cannot run in a transaction. If others are in the way for
    REMOVAL_TIMEOUT, the rest of that history waits for the next look.
    """
    cursor = await connection.execute(
        "SELECT pg_try_advisory_lock(%s), current_setting('lock_timeout')", [locks.DAYS_REMOVED]
    )
    row = await cursor.fetchone()
    removal = Removal()
    if row is None or not row[0]:
        return removal
    try:
        await connection.execute("SELECT set_config('lock_timeout', %s, false)", [REMOVAL_TIMEOUT])
        refused = []
        for stream in STREAMS:
            try:
                await _drop_expired(connection, stream, first_kept, removal)
            except psycopg.Error as error:
                if not is_refusal(error):
                    raise
                refused.append(error)
        if refused:
            raise refused[0]
    finally:
        await connection.execute(
            "SELECT pg_advisory_unlock(%s), set_config('lock_timeout', %s, false)",
            [locks.DAYS_REMOVED, row[1]],
        )
    return removal


async def _drop_expired(
    connection: Connection, stream: Stream, first_kept: date, removal: Removal
) -> None:
    due = [
        (day, utc_day)
        for day in await list_days(connection)
        if day.history == stream.history and (utc_day := day.utc_day) is not None
        if utc_day < first_kept or day.state == "detaching"
    ]
    # The one that is being detached comes first: until it is, no other can be.
    for day, utc_day in sorted(due, key=lambda pair: pair[0].state != "detaching"):
        begun = time.monotonic()
        try:
            if utc_day >= first_kept:  # the retention was raised meanwhile
                await make_days(connection, stream, [number_of(utc_day)])
            elif await _drop(connection, stream, day, utc_day):
                removal.dropped.append(day.name)
        except _TO_BE_FINISHED_LATER as error:
            reason = error.diag.message_primary or ""
            waited = round(time.monotonic() - begun, 1)
            removal.waiting.append(Waiting(day.name, waited, reason))
            return


async def _drop(connection: Connection, stream: Stream, day: Day, utc_day: date) -> bool:
    """Detach and drop the day, unless it was attached again meanwhile; return whether it went.

    That it goes is said before, so that no answer takes what is gone for nothing; and again when it
    has gone, for what follows may have been done anew meanwhile.
    """
    gone = {"stream": stream.name, "day": utc_day}
    names = {"history": sql.Identifier(day.history), "day": sql.Identifier(day.name)}
    note_registers = sql.SQL(statement("note_cut_registers")).format(
        id=sql.Identifier(stream.id_column), **names
    )
    await connection.execute(statement("note_removal"), gone)
    await connection.execute(note_registers, gone)
    if day.state == "attached":
        detach = sql.SQL("ALTER TABLE {history} DETACH PARTITION {day} CONCURRENTLY")
        await connection.execute(detach.format(**names))
    async with connection.transaction():
        # To drop a day that was attached again would lock the whole history. So none is made now.
        await take_making_lock(connection)
        states = {one.name: one.state for one in await list_days(connection)}
        state = states.get(day.name, "dropped")
        if state == "detaching":
            # FINALIZE waits for one snapshot after the other, each within the lock timeout: so the
            # whole statement is bounded.
            await finish_detaching(connection, names, timeout="statement_timeout")
        if state in ("detaching", "detached"):
            await connection.execute(note_registers, gone)
            await connection.execute(sql.SQL("DROP TABLE {day}").format(**names))
            await connection.execute(statement("note_removal"), gone)
            return True
    return False


async def make_ahead(
    connection: Connection, stream: Stream, settings: HistorySettings, *, now_us: int
) -> int:
    """Make yesterday, today and the days ahead of a stream; return how many were missing."""
    today = now_us // DAY_US
    days = range(today - 1, today + settings.partitions_ahead_days + 1)
    return await make_days(connection, stream, days)


async def remove(connection: Connection, settings: HistorySettings, *, now_us: int) -> Removal:
    """Drop what is past the retention, with its rollups.

    Raises NotTheOwner if the connection's role is not the histories' owner, and so may not.
    """
    cursor = await connection.execute(statement("foreign_owner"))
    if row := await cursor.fetchone():
        raise NotTheOwner(owner=row[0], role=row[1])
    first_kept = first_kept_day(now_us, settings.history_retention_days)
    # Rollups go first: they must not contain readings that are gone. They go again afterwards: a
    # late reading may have brought some back.
    forget = statement("forget_rollups")
    await connection.execute(forget, {"first_kept": first_kept})
    removal = await drop_expired(connection, first_kept=first_kept)
    await connection.execute(forget, {"first_kept": first_kept})
    return removal


async def count_overdue(connection: Connection, settings: HistorySettings, *, now_us: int) -> int:
    """Return of how many UTC days there is history that is past the retention."""
    first_kept = first_kept_day(now_us, settings.history_retention_days)
    days = {one.utc_day for one in await list_days(connection)}
    return sum(day is not None and day < first_kept for day in days)


async def maintain(
    connection: Connection, settings: HistorySettings, *, now_us: int
) -> tuple[int, Removal]:
    """Make the days of all streams, and drop what is past the retention.

    Returns the number of days made, and the removal's result. Raises NotTheOwner once the days are
    made.
    """
    made = 0
    for stream in STREAMS:
        made += await make_ahead(connection, stream, settings, now_us=now_us)
    return made, await remove(connection, settings, now_us=now_us)


async def keep_maintained(database: Database, settings: HistorySettings, metrics: Metrics) -> None:
    """Maintain the days for ever, at the start and then once an interval.

    Making each stream's days and removing are separate tasks: if one is refused, the others go on.
    """
    async with asyncio.TaskGroup() as tasks:
        for stream in STREAMS:
            tasks.create_task(_keep_making(database, stream, settings))
        tasks.create_task(_keep_removing(database, settings, metrics))


async def _keep_making(database: Database, stream: Stream, settings: HistorySettings) -> None:
    async def attempt() -> None:
        async with database.connection() as connection:
            made = await make_ahead(connection, stream, settings, now_us=time.time_ns() // 1_000)
        if made:
            log.info("history_partitions_maintained", history=stream.history, made=made)

    work = Work("days", stream.topic)
    await database.regularly(attempt, work=work, every_s=settings.partitions_interval_s)


async def _keep_removing(database: Database, settings: HistorySettings, metrics: Metrics) -> None:
    told = False

    async def attempt() -> None:
        nonlocal told
        now_us = time.time_ns() // 1_000
        async with database.connection() as connection:

            async def show_overdue() -> None:
                overdue = await count_overdue(connection, settings, now_us=now_us)
                metrics.history_overdue_days.set(overdue)

            await show_overdue()  # whatever comes of the removal
            try:
                _tell(await remove(connection, settings, now_us=now_us))
                await show_overdue()
            except NotTheOwner as error:
                if not told:
                    log.info("history_removal_left_to_owner", owner=error.owner, role=error.role)
                told = True

    await database.regularly(attempt, work=RETENTION, every_s=settings.partitions_interval_s)


def _tell(removal: Removal) -> None:
    if removal.dropped:
        log.info("history_partitions_maintained", dropped=removal.dropped)
    for one in removal.waiting:
        log.info(
            "history_partition_removal_waits",
            partition=one.day,
            waited_s=one.seconds,
            reason=one.reason,
        )
