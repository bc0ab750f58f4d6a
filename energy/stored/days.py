"""Writes and reads the kept hours of vehicles, a row a UTC day."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import numpy as np

from energy.device import FOREVER
from energy.fleet import Sums
from energy.hourly import Gap, Hourly
from energy.stored.histories import Connection
from energy.stored.statements import statement
from energy.stored.times import as_datetime, as_us
from energy.units import HOUR_US

DAY_US = 24 * HOUR_US
_FIRST_DAY = as_datetime(0).date().toordinal()


async def write_days(
    connection: Connection, vehicles: Sequence[str], hourly: Hourly, start: int
) -> None:
    """Write the hours of vehicles from a whole hour on (µs since 1970), until a midnight.

    What is kept of hours before stays. Raises psycopg.Error.
    """
    rows = [
        row
        for place, vehicle in enumerate(vehicles)
        for row in _rows(vehicle, place, hourly, start)
    ]
    async with connection.cursor() as cursor:
        await cursor.executemany(statement("write_day"), rows)


def _rows(vehicle: str, place: int, hourly: Hourly, start: int) -> list[dict[str, Any]]:
    kept = start % DAY_US // HOUR_US
    midnight = start - start % DAY_US
    before = np.zeros(kept, np.int64)
    columns = {
        name: np.concatenate((before, getattr(hourly, name)[place])).reshape(-1, 24)
        for name in ("ac", "dc", "ac_known_us", "dc_known_us", "doubts")
    }
    gaps_of: dict[int, list[Gap]] = {}
    for gap in hourly.gaps:
        if gap.owner == place:  # on midnight it ends the day before
            gaps_of.setdefault((gap.end - 1 - midnight) // DAY_US, []).append(gap)
    holds_until = int(hourly.holds_until[place])
    rows = []
    for number in range(len(columns["ac"])):
        gaps = gaps_of.get(number, [])
        rows.append(
            {
                "vehicle": vehicle,
                "day": as_datetime(midnight + number * DAY_US).date(),
                "kept": kept if number == 0 else 0,
                "from_at": as_datetime(start if number == 0 else midnight + number * DAY_US),
                **{name: column[number].tolist() for name, column in columns.items()},
                "gap_starts": [as_datetime(gap.start) for gap in gaps],
                "gap_ends": [as_datetime(gap.end) for gap in gaps],
                "gap_lengths": [gap.length_us for gap in gaps],
                "gap_is_ac": [gap.is_ac for gap in gaps],
                "holds_until": None if holds_until == FOREVER else as_datetime(holds_until),
            }
        )
    return rows


def whole_hours(start: int, end: int) -> tuple[int, int]:
    """Return the first and the last whole hour in a time (µs since 1970): none if first >= last."""
    return -(-start // HOUR_US) * HOUR_US, end - end % HOUR_US


async def read_doubtful(
    connection: Connection, vehicles: Sequence[str], start: int, end: int, as_of: datetime
) -> dict[str, int]:
    """Return from which midnight on vehicles cannot be read from rows, in start < t <= end.

    Those that can are left out. Raises psycopg.Error.
    """
    cursor = await connection.execute(
        statement("doubtful_days"),
        {
            "vehicles": list(vehicles),
            "first": as_datetime(start).date(),
            "last": as_datetime(end - 1).date(),
            "as_of": as_of,
        },
    )
    return {
        row["vehicle_id"]: (row["day"].toordinal() - _FIRST_DAY) * DAY_US async for row in cursor
    }


async def read_days(
    connection: Connection,
    vehicles: Sequence[str],
    start: datetime,
    end: datetime,
    *,
    as_of: datetime,
    affected: Mapping[str, int],
) -> tuple[Sums, list[int]]:
    """Return what rows tell of vehicles in the whole hours of start < t <= end; there is one.

    Also until when they do, of each (µs since 1970): what follows is computed from readings.
    `affected`: from which hour on rows of vehicles are not those of the readings. The connection
    is in a snapshot. Raises psycopg.Error.
    """
    first, last = whole_hours(as_us(start), as_us(end))
    doubtful = await read_doubtful(connection, vehicles, first, last, as_of)
    until = [
        max(first, min(last, affected.get(one, last), doubtful.get(one, last))) for one in vehicles
    ]
    cursor = await connection.execute(
        statement("day_sums"),
        {
            "vehicles": list(vehicles),
            "untils": [time // HOUR_US for time in until],
            "start": first // HOUR_US,
            "since": start,
        },
    )
    sums = Sums.none(len(vehicles))
    async for row in cursor:
        told = (int(row[name]) for name in ("ac", "dc", "ac_known_us", "dc_known_us"))
        sums.add(row["place"], *told)
    return sums, until
