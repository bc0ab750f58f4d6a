"""Reads the readings of devices, as far back and as far on as a window's answer needs them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
from psycopg import AsyncConnection, sql

from energy.device import Device
from energy.history import is_complete_at
from energy.line import Line
from energy.readings import Readings
from energy.units import HOUR_US, MINUTE_US, Ints, to_nano
from runtime.statements import statements_of
from telemetry.streams import METER, VEHICLE, Stream

# How far before a window a register is looked at, until nothing before matters any more.
BACK_US = (2 * HOUR_US, 24 * HOUR_US, 14 * 24 * HOUR_US)
# What follows a reading within the hour may tell what it was.
ON_US = HOUR_US + MINUTE_US
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_BEGINNING = datetime(1, 1, 2, tzinfo=UTC)

_statement = statements_of("energy.stored")


@dataclass(frozen=True, slots=True, eq=False)
class Columns:
    """A device's readings: when (µs since 1970), and whole nanokilowatt-hours."""

    at: Ints
    value: Ints


def _composed(stream: Stream) -> bytes:
    energy = "kwh_consumed_ac" if stream is METER else "kwh_delivered_dc"
    return (
        sql.SQL(_statement("readings"))
        .format(
            history=sql.Identifier(stream.history),
            id=sql.Identifier(stream.id_column),
            kwh=sql.Identifier(energy),
        )
        .as_bytes()
    )


_BY_STREAM = {stream: _composed(stream) for stream in (METER, VEHICLE)}


async def read(
    connection: AsyncConnection[Any],
    stream: Stream,
    devices: Sequence[tuple[str, Device]],
    start: int,
    end: int,
) -> tuple[Line, Readings]:
    """Return the readings of devices that decide what lies in start < t <= end (µs since 1970).

    The connection's arrays are loaded by `load_arrays`. Raises psycopg.Error.
    """
    found: list[Columns | None] = [None] * len(devices)
    missing = list(range(len(devices)))
    longest = max((facts.facts.interval_us for _, one in devices for facts in one.dated), default=0)
    for back in (*BACK_US, None):
        after = _BEGINNING if back is None else _datetime(start - back - longest)
        until = _datetime(end + ON_US + longest)
        ids = [devices[place][0] for place in missing]
        rows = await _rows(connection, stream, ids, after, until)
        for place, columns in zip(missing, rows, strict=True):
            found[place] = columns
        if back is None:
            break
        missing = [
            place
            for place in missing
            if not _is_complete(found[place], devices[place][1], start, _microseconds(after))
        ]
        if not missing:
            break
    all_of_them = [one for one in found if one is not None]
    return _on_line(all_of_them, [device for _, device in devices], start, end)


async def _rows(
    connection: AsyncConnection[Any],
    stream: Stream,
    devices: Sequence[str],
    after: datetime,
    until: datetime,
) -> list[Columns]:
    async with connection.cursor(binary=True) as cursor:
        await cursor.execute(
            _BY_STREAM[stream], {"devices": list(devices), "after": after, "until": until}
        )
        return [Columns(row["at"], to_nano(row["kwh"])) for row in await cursor.fetchall()]


def _is_complete(columns: Columns | None, device: Device, start: int, after: int) -> bool:
    """Return whether the readings reach back far enough; without one before, all are there."""
    if columns is None:
        return False
    if not len(columns.at) or columns.at[0] > after:
        return True
    # The first one was read before all others, so it stands alone.
    line = Line.of(columns.at[:1] - HOUR_US, columns.at[-1:])
    readings = Readings.of(
        columns.at[1:], columns.value[1:], np.array([len(columns.at) - 1]), [device], line
    )
    return is_complete_at(readings, device, start, int(line.shift[0]))


def _on_line(
    columns: Sequence[Columns], devices: Sequence[Device], start: int, end: int
) -> tuple[Line, Readings]:
    begins = [
        min(start, int(one.at[0]) if len(one.at) else start)
        - max(dated.facts.interval_us for dated in device.dated)
        for one, device in zip(columns, devices, strict=True)
    ]
    ends = [max(end, int(one.at[-1]) if len(one.at) else end) for one in columns]
    line = Line.of(np.array(begins, np.int64), np.array(ends, np.int64))
    nothing = np.empty(0, np.int64)
    at = np.concatenate([nothing, *(one.at for one in columns)])
    value = np.concatenate([nothing, *(one.value for one in columns)])
    counts = np.array([len(one.at) for one in columns], np.int64)
    return line, Readings.of(at, value, counts, devices, line)


def _datetime(at: int) -> datetime:
    return EPOCH + timedelta(microseconds=at)


def _microseconds(at: datetime) -> int:
    return (at - EPOCH) // timedelta(microseconds=1)
