"""What the page of a vehicle shows beside its performance: curves, coverage, sessions."""

from datetime import datetime, timedelta
from typing import Any, NamedTuple

from psycopg.rows import DictRow

from api.postgres.database import Connection
from api.queries.charges import energies
from api.queries.rows import all_rows
from api.queries.statements import statement
from api.queries.windows import Window
from energy.spans import Spans
from energy.stored.times import as_datetime, as_us
from energy.stored.vehicles import Charging


class Span(NamedTuple):
    """A time, start < t <= end."""

    start: datetime
    end: datetime


async def vehicle_series(connection: Connection, vehicle_id: str, window: Window) -> list[DictRow]:
    """Return the means `soc` and `temperature` of each five minutes with readings, in order."""
    return await all_rows(
        connection,
        statement("vehicle_series"),
        vehicle_id=vehicle_id,
        start=window.start,
        end=window.end,
    )


def vehicle_coverage(
    charging: Charging, vehicle_id: str, window: Window, *, apart: timedelta, limit: int
) -> dict[str, list[Span]]:
    """Return when the energy is known: of the vehicle, then of each meter while it charged it.

    The first `limit` spans of all; those that are at most `apart` from each other are joined.
    """
    start, end = as_us(window.start), as_us(window.end)
    parts = charging.charged.parts
    found = [(vehicle_id, charging.delivered.covered(0, start, end))]
    for device, meter_id in enumerate(charging.meters):
        charged = Spans.of(parts.starts[parts.device == device], parts.ends[parts.device == device])
        found.append((meter_id, charging.drawn.covered(device, start, end).intersection(charged)))
    covered: dict[str, list[Span]] = {}
    for name, spans in found:
        pairs = spans.joined(apart // timedelta(microseconds=1)).pairs()[:limit]
        limit -= len(pairs)
        # A meter may have the vehicle's id.
        covered.setdefault(name, []).extend(
            Span(as_datetime(first), as_datetime(last)) for first, last in pairs
        )
    return covered


async def vehicle_sessions(
    connection: Connection, vehicle_id: str, window: Window, *, limit: int
) -> list[dict[str, Any]]:
    """Return the first `limit` sessions that overlap the window, with their energy within it.

    The connection is in a snapshot.
    """
    rows = await all_rows(
        connection,
        statement("vehicle_sessions"),
        vehicle_id=vehicle_id,
        start=window.start,
        end=window.end,
        limit=limit,
    )
    within = [
        {
            "vehicle_id": vehicle_id,
            "meter_id": row["meter_id"],
            "started_at": max(row["started_at"], window.start),
            "ended_at": min(row["ended_at"] or window.end, window.end),
        }
        for row in rows
    ]
    found = await energies(connection, within)
    return [row | energy for row, energy in zip(rows, found, strict=True)]
