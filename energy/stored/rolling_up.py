"""Rolls up: writes what notes concern into the vehicles' days."""

from collections.abc import Sequence
from datetime import datetime

from energy.stored.affected import Note, read_affected
from energy.stored.bonds import read_bonds
from energy.stored.days import DAY_US, read_doubtful, write_days
from energy.stored.histories import Connection
from energy.stored.hours import LONGEST_GAP, read_hourly
from energy.stored.statements import statement
from energy.stored.times import as_datetime, as_us

# So much is computed at a time: a day of a vehicle with its meter has some 3,000 readings.
VEHICLE_DAYS = 200


async def roll_up(connection: Connection, notes: int, as_of: datetime) -> int | None:
    """Work off the newest notes, in a transaction of its own, and return how many they were.

    None if another session rolls up: nothing was done then. `notes`: how many at most. The
    connection is in no transaction, and loads arrays by `load_arrays`. Raises psycopg.Error.
    """
    async with connection.transaction():
        await connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        cursor = await connection.execute("SELECT try_rollup_lock() AS is_free")
        row = await cursor.fetchone()
        if row is None or not row["is_free"]:
            return None
        cursor = await connection.execute(statement("take_notes"), {"most": notes})
        rows = await cursor.fetchall()
        taken = [Note(one["stream"], one["device_id"], one["hour"]) for one in rows]
        for since, vehicles in (await _groups(connection, taken, as_of)).items():
            await _write_from(connection, vehicles, since, as_of)
        return rows[0]["notes"] if rows else 0


async def _groups(
    connection: Connection, notes: Sequence[Note], as_of: datetime
) -> dict[int, list[str]]:
    """Return the vehicles to be written, by the hour from which on they are."""
    affected = await read_affected(connection, notes)
    cursor = await connection.execute(statement("expired_days"), {"as_of": as_of})
    async for row in cursor:
        midnight = as_us(row["midnight"])
        vehicle = row["vehicle_id"]
        affected[vehicle] = min(midnight, affected.get(vehicle, midnight))
    groups: dict[int, list[str]] = {}
    for vehicle, since in affected.items():
        groups.setdefault(since, []).append(vehicle)
    return groups


async def _write_from(
    connection: Connection, vehicles: Sequence[str], since: int, as_of: datetime
) -> None:
    """Write all days of vehicles from an hour on."""
    for chunk in range(0, len(vehicles), VEHICLE_DAYS):
        some = vehicles[chunk : chunk + VEHICLE_DAYS]
        last = await _last_midnight(connection, some, since)
        # The first day is written whole if it was not there: silence may tell something.
        doubtful = await read_doubtful(connection, some, since, since + 1, as_of)
        midnight = since - since % DAY_US
        for start, of_group in (
            (midnight, [one for one in some if one in doubtful]),
            (since, [one for one in some if one not in doubtful]),
        ):
            await _write_between(connection, of_group, start, last, as_of)


async def _write_between(
    connection: Connection, vehicles: Sequence[str], start: int, last: int, as_of: datetime
) -> None:
    days = max(1, VEHICLE_DAYS // max(1, len(vehicles)))
    while vehicles and start < last:
        end = min(last, start - start % DAY_US + days * DAY_US)
        hourly = await read_hourly(
            connection, vehicles, as_datetime(start), as_datetime(end), as_of
        )
        await write_days(connection, vehicles, hourly, start)
        start = end


async def _last_midnight(connection: Connection, vehicles: Sequence[str], since: int) -> int:
    """Return the end of the last day of which something is stored of vehicles, or kept."""
    start = as_datetime(since)
    bonds = await read_bonds(
        connection, start - LONGEST_GAP, as_datetime(since + 10_000 * DAY_US), vehicles=vehicles
    )
    meters = sorted({meter for one in vehicles for meter in bonds.meters_of(one)})
    cursor = await connection.execute(
        statement("last_days"), {"vehicles": list(vehicles), "meters": meters}
    )
    row = await cursor.fetchone()
    last = since if row is None or row["last_at"] is None else as_us(row["last_at"])
    return -(-max(last, since + 1) // DAY_US) * DAY_US
