"""History's days: tables that hold one UTC day each, listed and made.

PostgreSQL calls such a table a partition; in this code that word is Kafka's. Two replicas may make
days at once: an advisory lock within the transaction puts one after the other, and the last step of
a removal (consumer/upkeep/retention.py) too.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta

import structlog
from psycopg import sql
from psycopg.rows import class_row

from consumer.postgres.connection import Connection
from consumer.postgres.statements import statement
from runtime.postgres import locks
from telemetry.streams import Stream
from telemetry.timestamps import DAY_US, EPOCH

log = structlog.get_logger()

# How long removal waits for others, and so may keep a flush that needs a new day waiting.
REMOVAL_TIMEOUT = "500ms"


@dataclass(frozen=True, slots=True)
class Day:
    """A table of one history; `state`: attached, detaching or detached.

    `first` and `last` bound it in days since 1970 UTC, and `range` is how PostgreSQL writes that.
    All three are None once it is detached. A default partition has no bounds: they are infinite.
    """

    history: str
    name: str
    state: str
    range: str | None
    first: float | None
    last: float | None

    @property
    def utc_day(self) -> date | None:
        """The UTC day that it holds; None if it was attached by hand for another range."""
        try:
            named = self.name.removeprefix(f"{self.history}_")
            day = datetime.strptime(f"{named}Z", "%Y%m%d%z").date()
        except ValueError:
            return None
        is_whole_day = (self.first, self.last) == (number_of(day), number_of(day) + 1)
        return day if is_whole_day or self.state == "detached" else None


async def list_days(connection: Connection) -> list[Day]:
    """Return the days of both histories, by history and time.

    Among them are those that an interrupted removal left, and tables attached by hand.
    """
    async with connection.cursor(row_factory=class_row(Day)) as cursor:
        await cursor.execute(statement("list_days"))
        return await cursor.fetchall()


async def make_days(connection: Connection, stream: Stream, days: Collection[int]) -> int:
    """Make the days that are missing, given in days since 1970 UTC; return how many were.

    The lock that attaching takes on the history (SHARE UPDATE EXCLUSIVE) lets readers and writers
    go on.

    A day that is being removed is attached again, with the rows that it still has. So a reading on
    the edge of the retention is stored even if its day goes between decoding and COPY: it was
    judged when it was decoded, and that must not depend on the time of a retry. The next look
    removes the day whole.

    Raises psycopg.errors.LockNotAvailable while that removal still waits for a reader.
    """
    async with connection.transaction():
        await take_making_lock(connection)
        found = [one for one in await list_days(connection) if one.history == stream.history]
        states = {one.name: one.state for one in found}
        made = 0
        for day in sorted(days):
            if not _is_taken(day, found):
                state = states.get(_name(stream, date_of(day)))
                await _make_day(connection, stream, date_of(day), state=state)
                made += 1
    return made


def _is_taken(day: int, found: list[Day]) -> bool:
    """Return whether attached tables hold the day, or so much of it that no other table can.

    Usually one table holds just that day. But months, or days of another time zone, may have been
    attached by hand.
    """
    bounds = sorted(
        (one.first, one.last)
        for one in found
        if one.state == "attached"
        and (one.first is not None and one.last is not None)
        and (one.first < day + 1 and day < one.last)
    )
    held_up_to: float = day
    for first, last in bounds:
        if first <= held_up_to:
            held_up_to = last
    if bounds and held_up_to < day + 1:
        # What falls into the gap cannot be stored: it waits until an operator fills it.
        log.error("history_day_partly_covered", history=found[0].history, day=str(date_of(day)))
    return bool(bounds)


def made_until(days: Collection[Day], today: int) -> float:
    """Return up to where attached tables hold every day from today on, in days since 1970 UTC.

    `days` are those of one history. It is today if today has no table.
    """
    until: float = today
    attached = [
        (one.first, one.last)
        for one in days
        if one.state == "attached" and one.first is not None and one.last is not None
    ]
    for first, last in sorted(attached):
        if first <= until:
            until = max(until, last)
    return until


async def _make_day(
    connection: Connection, stream: Stream, day: date, *, state: str | None
) -> None:
    if state == "detaching":
        # It waits no longer than removal would: others need other days. The flush tries again.
        await _give_way(connection, timeout="lock_timeout")
    # With the owner's rights (schema/days.sql).
    await connection.execute("SELECT make_day(%s::regclass, %s)", [stream.history, day])


async def take_making_lock(connection: Connection) -> None:
    """Keep all others from making or dropping a day until the transaction ends."""
    await connection.execute("SELECT pg_advisory_xact_lock(%s)", [locks.DAYS_MADE])


async def _give_way(connection: Connection, *, timeout: str) -> None:
    await connection.execute("SELECT set_config(%s, %s, true)", [timeout, REMOVAL_TIMEOUT])


async def finish_detaching(
    connection: Connection, names: Mapping[str, sql.Composable], *, timeout: str
) -> None:
    """Finish a DETACH CONCURRENTLY of `day` from `history` that was interrupted.

    `timeout` names a setting of PostgreSQL's, which is REMOVAL_TIMEOUT for the rest of the
    transaction.
    """
    await _give_way(connection, timeout=timeout)
    finalize = sql.SQL("ALTER TABLE {history} DETACH PARTITION {day} FINALIZE")
    await connection.execute(finalize.format(**names))


def _name(stream: Stream, day: date) -> str:
    return f"{stream.history}_{day:%Y%m%d}"


def date_of(days_since_1970: int) -> date:
    """Return the UTC day of that number."""
    return EPOCH.date() + timedelta(days=days_since_1970)


def first_kept_day(now_us: int, retention_days: int) -> date:
    """Return the oldest UTC day that is kept: a day goes when its last instant is too old."""
    return date_of(now_us // DAY_US - retention_days)


def number_of(day: date) -> int:
    """Return the day in days since 1970."""
    return (day - EPOCH.date()).days
