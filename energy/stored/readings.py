"""Reads the readings of devices, as far back and as far on as an answer needs them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from psycopg import AsyncConnection

from energy.device import Kind
from energy.history import is_complete_at
from energy.line import Line
from energy.readings import Readings
from energy.stored.asked import Asked
from energy.stored.statements import by_stream
from energy.stored.times import EARLIEST_US, as_datetime, as_us
from energy.units import HOUR_US, Ints, to_nano
from telemetry.streams import Stream

# How far before the asked time a register is looked at, until nothing before matters any more.
BACK_US = (2 * HOUR_US, 24 * HOUR_US, 14 * 24 * HOUR_US)
# For so long after a reading others tell what it was.
ON_US = HOUR_US

_READINGS = by_stream("readings")
_FOLLOWING = by_stream("following")

Connection = AsyncConnection[dict[str, Any]]


@dataclass(frozen=True, slots=True, eq=False)
class Columns:
    """A device's readings: when (µs since 1970), and whole nanokilowatt-hours."""

    at: Ints
    value: Ints


async def read_readings(
    connection: Connection, stream: Stream, asked: Sequence[Asked]
) -> tuple[Line, Readings]:
    """Return the readings that decide the energy of what is asked, in its order.

    The connection loads arrays by `load_arrays`. Raises psycopg.Error.
    """
    found: dict[int, Columns] = {}
    missing = list(range(len(asked)))
    for back in (*BACK_US, None):
        if not missing:
            break
        rows = [_span(asked[place], back) for place in missing]
        found |= zip(missing, await _within(connection, stream, rows), strict=True)
        missing = [
            place
            for place in missing
            if asked[place].counts and not _reaches_back(found[place], asked[place])
        ]
    columns = [found[place] for place in range(len(asked))]
    await _add_following(connection, stream, asked, columns)
    return _on_line(columns, asked)


def _span(asked: Asked, back: int | None) -> tuple[str, int, int]:
    """Return the device, and the time (after, until) whose readings are read first, or next."""
    around = 2 * asked.longest_interval_us
    if not asked.counts:  # a reading tells of its interval, less what the one before has told
        return asked.device_id, asked.start - around, asked.end + around
    after = EARLIEST_US if back is None else asked.start - back - around
    return asked.device_id, after, asked.end + ON_US + around


async def _within(
    connection: Connection, stream: Stream, rows: Sequence[tuple[str, int, int]]
) -> list[Columns]:
    """Return the readings of each (device, after, until), in µs since 1970."""
    devices = [device for device, _, _ in rows]
    after = [as_datetime(time) for _, time, _ in rows]
    until = [as_datetime(time) for _, _, time in rows]
    async with connection.cursor(binary=True) as cursor:
        await cursor.execute(
            _READINGS[stream],
            {
                "devices": devices,
                "after": after,
                "until": until,
                "earliest": min(after),
                "latest": max(until),
            },
        )
        return [Columns(row["at"], to_nano(row["kwh"])) for row in await cursor.fetchall()]


def _reaches_back(columns: Columns, asked: Asked) -> bool:
    line = Line.of(columns.at[:1], columns.at[-1:])
    readings = Readings.of(
        columns.at, columns.value, np.array([len(columns.at)]), [asked.device], line
    )
    shift = int(line.shift[0]) if len(columns.at) else 0
    return is_complete_at(readings, asked.device, asked.start, shift)


async def _add_following(
    connection: Connection, stream: Stream, asked: Sequence[Asked], columns: list[Columns]
) -> None:
    """Add the reading that ends the gap in which the asked time of a register ends."""
    places = [
        place
        for place, one in enumerate(asked)
        if one.device.at(one.end).kind is Kind.REGISTER
        and not (len(columns[place].at) and columns[place].at[-1] >= one.end)
    ]
    if not places:
        return
    after = [as_datetime(asked[place].end) for place in places]
    cursor = await connection.execute(
        _FOLLOWING[stream],
        {
            "devices": [asked[place].device_id for place in places],
            "after": after,
            "earliest": min(after),
        },
    )
    for place, row in zip(places, await cursor.fetchall(), strict=True):
        if row["at"] is not None:
            before = columns[place]
            columns[place] = Columns(
                np.append(before.at, as_us(row["at"])),
                np.append(before.value, to_nano(np.array([row["kwh"]]))),
            )


def _on_line(columns: Sequence[Columns], asked: Sequence[Asked]) -> tuple[Line, Readings]:
    begins, ends = [], []
    for one, about in zip(columns, asked, strict=True):
        first, last = (int(one.at[0]), int(one.at[-1])) if len(one.at) else (about.start, about.end)
        begins.append(min(about.start, first) - HOUR_US - about.longest_interval_us)
        ends.append(max(about.end, last))
    line = Line.of(np.array(begins, np.int64), np.array(ends, np.int64))
    nothing = np.empty(0, np.int64)
    at = np.concatenate([nothing, *(one.at for one in columns)])
    value = np.concatenate([nothing, *(one.value for one in columns)])
    counts = np.array([len(one.at) for one in columns], np.int64)
    return line, Readings.of(at, value, counts, [one.device for one in asked], line)
