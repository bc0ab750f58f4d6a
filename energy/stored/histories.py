"""Reads the histories of devices, judged."""

import asyncio
from collections.abc import Sequence
from datetime import datetime
from functools import partial
from typing import Any, NamedTuple

from psycopg import AsyncConnection

from energy.history import History
from energy.line import Line, Row
from energy.stored.asked import Asked
from energy.stored.devices import read_devices
from energy.stored.readings import read_readings
from energy.stored.statements import by_stream
from energy.stored.times import as_datetime, as_us, end_us
from telemetry.streams import Stream

_SESSIONS = by_stream("sessions")
# So many are judged in a thread, for it would hold up what else goes on.
_MANY = 10_000

Connection = AsyncConnection[dict[str, Any]]
# A device's id, and the start and end of what is asked about it.
Span = tuple[str, datetime, datetime]


class Entering(NamedTuple):
    """A session in start < t <= end (µs since 1970) that is not stored yet, or with other times.

    `session_id` is None for one that is not stored.
    """

    session_id: int | None
    start: int
    end: int


async def read_history(
    connection: Connection,
    stream: Stream,
    spans: Sequence[Span],
    as_of: datetime,
    *,
    entering: Entering | None = None,
) -> History:
    """Return what decides the energy of devices in start < t <= end, in the order of the spans.

    `entering`: a session of all of them, which counts as if it were stored. The connection is in a
    snapshot, and loads arrays by `load_arrays`. Raises psycopg.Error.
    """
    ids = [device_id for device_id, _, _ in spans]
    devices, removed_until = await read_devices(connection, stream, ids)
    asked = [
        Asked(device_id, device, as_us(start), as_us(end))
        for device, (device_id, start, end) in zip(devices, spans, strict=True)
    ]
    line, readings = await read_readings(connection, stream, asked)
    sessions = await _read_sessions(connection, stream, asked, line, entering)
    judging = partial(
        History.of,
        line,
        devices,
        readings,
        sessions,
        as_us(as_of),
        removed_until=removed_until,
    )
    return judging() if len(readings) < _MANY else await asyncio.to_thread(judging)


async def _read_sessions(
    connection: Connection,
    stream: Stream,
    asked: Sequence[Asked],
    line: Line,
    entering: Entering | None,
) -> list[Row]:
    """Return (place, start, end) of sessions; a reading's time may reach beyond what is asked."""
    if not asked:
        return []
    cursor = await connection.execute(
        _SESSIONS[stream],
        {
            "devices": [one.device_id for one in asked],
            "starts": [as_datetime(time) for time in line.begins.tolist()],
            "ends": [as_datetime(time) for time in line.ends.tolist()],
        },
    )
    sessions = [
        (row["place"], as_us(row["started_at"]), end_us(row["ended_at"]))
        async for row in cursor
        if entering is None or row["session_id"] != entering.session_id
    ]
    if entering is not None:
        sessions += [(place, entering.start, entering.end) for place in range(len(asked))]
    return sessions
