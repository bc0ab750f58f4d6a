"""Rolls up: writes the vehicles' days anew from the hours on that notes concern."""

import time
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta

from psycopg.errors import SerializationFailure

from energy.stored.bonds import read_bonds
from energy.stored.days import DAY_US, read_doubtful, write_days
from energy.stored.histories import Connection
from energy.stored.hours import VEHICLE_HOURS, read_hourly
from energy.stored.statements import statement
from energy.stored.times import as_datetime, as_us
from energy.units import HOUR_US
from runtime.postgres import locks

# At most so many notes are taken in a pass, and vehicles are written for about so long.
NOTES = 100
PASS_S = 1.0
# An hour that is not over for so long waits: it would be noted again at once.
FRESH = timedelta(minutes=5)
_VEHICLES = 50
_EPOCH_DAY = date(1970, 1, 1)


async def roll_up(
    connection: Connection, as_of: datetime, *, notes: int = NOTES, seconds: float = PASS_S
) -> bool | None:
    """Work off the newest notes, and write vehicles that are due; return whether none are left.

    Each is one transaction. None if another session rolls up: it may have done nothing then.
    `notes`: how many at most; `seconds`: about how long it writes. The connection is in no
    transaction, and loads arrays by `load_arrays`. Raises psycopg.Error.
    """
    ends = time.monotonic() + seconds
    try:
        async with connection.transaction():
            if not await _is_alone(connection):
                return None
            cursor = await connection.execute(statement("take_notes"), {"most": notes})
            row = await cursor.fetchone()
            await connection.execute(statement("expire_days"), {"as_of": as_of})
        is_left = row is not None and row["notes"] == notes
        async with connection.transaction():
            if not await _is_alone(connection):
                return None
            while due := await _next_due(connection, as_of):
                since, vehicles = due
                hours = max(1, (as_us(as_of) - since) // HOUR_US)
                some = vehicles[: max(1, VEHICLE_HOURS // hours)]
                await _write_from(connection, some, since, as_of)
                await connection.execute(statement("end_due"), {"vehicles": some})
                if time.monotonic() > ends:
                    return False
    except SerializationFailure:  # what it reads is older than another session's last pass
        return None
    return not is_left


async def complete_days(
    connection: Connection,
    as_of: datetime,
    *,
    first: date,
    vehicles: int = _VEHICLES,
    seconds: float = PASS_S,
) -> bool | None:
    """Write what is missing of days that are over, the newest first; return whether nothing is.

    `first` is the oldest day; some `vehicles` are written in a transaction. None if another session
    rolls up. Otherwise as `roll_up`. Raises psycopg.Error.
    """
    ends = time.monotonic() + seconds
    days = {"first": first, "last": as_of.astimezone(UTC).date() - timedelta(days=1)}
    try:
        while True:
            async with connection.transaction():
                if not await _is_alone(connection):
                    return None
                cursor = await connection.execute(statement("next_day"), days | {"most": vehicles})
                row = await cursor.fetchone()
                if row is None:
                    return True
                missing = row["vehicles"] if row["has_readings"] else None
                if missing:
                    midnight = (row["day"] - _EPOCH_DAY).days * DAY_US
                    await write_hours(connection, missing, midnight, midnight + DAY_US, as_of)
                await connection.execute(
                    statement("set_day"),
                    {"day": row["day"], "done_to": missing[-1] if missing else None},
                )
            if time.monotonic() > ends:
                return False
    except SerializationFailure:
        return None


async def write_hours(
    connection: Connection, vehicles: Sequence[str], start: int, last: int, as_of: datetime
) -> None:
    """Write the hours of vehicles from one on until a midnight, some days at a time.

    No other session may write them. The connection is in a snapshot. Raises psycopg.Error.
    """
    days = max(1, VEHICLE_HOURS // (24 * max(1, len(vehicles))))
    while vehicles and start < last:
        end = min(last, start - start % DAY_US + days * DAY_US)
        hourly = await read_hourly(
            connection, vehicles, as_datetime(start), as_datetime(end), as_of
        )
        await write_days(connection, vehicles, hourly, start)
        start = end


async def _is_alone(connection: Connection) -> bool:
    """Let all that follows see one state, and return whether no other session rolls up."""
    await connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
    cursor = await connection.execute(
        "SELECT pg_try_advisory_xact_lock(%s) AS is_free", [locks.ROLLED_UP]
    )
    row = await cursor.fetchone()
    return row is not None and row["is_free"]


async def _next_due(connection: Connection, as_of: datetime) -> tuple[int, list[str]] | None:
    """Return vehicles that are due from one hour on, and the hour: the newest."""
    before = (as_of - FRESH).replace(minute=0, second=0, microsecond=0)
    cursor = await connection.execute(statement("due"), {"before": before})
    row = await cursor.fetchone()
    return None if row is None else (as_us(row["since"]), row["vehicles"])


async def _write_from(
    connection: Connection, vehicles: Sequence[str], since: int, as_of: datetime
) -> None:
    """Write all days of vehicles from an hour on, as far as there is something of them."""
    extent = await _extent(connection, vehicles, since)
    if extent is None:
        return
    since, last = extent
    # The first day is written whole if it was not there: silence may tell something.
    doubtful = await read_doubtful(connection, vehicles, since, since + 1, as_of)
    midnight = since - since % DAY_US
    for start, of_group in (
        (midnight, [one for one in vehicles if one in doubtful]),
        (since, [one for one in vehicles if one not in doubtful]),
    ):
        await write_hours(connection, of_group, start, last, as_of)


async def _extent(
    connection: Connection, vehicles: Sequence[str], since: int
) -> tuple[int, int] | None:
    """Return the hour and the midnight between which something is stored of vehicles, or kept.

    The hour is `since` or later. None if there is nothing.
    """
    start = as_datetime(since)
    bonds = await read_bonds(
        connection, start, as_datetime(since + 10_000 * DAY_US), vehicles=vehicles
    )
    meters = sorted({meter for one in vehicles for meter in bonds.meters_of(one)})
    cursor = await connection.execute(
        statement("extent"), {"vehicles": list(vehicles), "meters": meters, "since": start}
    )
    row = await cursor.fetchone()
    if row is None or row["first_at"] is None:
        return None
    first = max(since, as_us(row["first_at"]))
    last = -(-max(as_us(row["last_at"]), since + 1) // DAY_US) * DAY_US
    return first - first % HOUR_US, last
