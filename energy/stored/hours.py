"""Reads the energy of vehicles by the hour, as it is kept, from readings."""

import asyncio
from collections.abc import Sequence
from datetime import datetime

from energy.charged import Charged
from energy.hourly import Hourly
from energy.performance import hours
from energy.sides import Parts
from energy.stored.bonds import read_bonds
from energy.stored.extents import extents
from energy.stored.histories import Connection, Span, read_history
from energy.stored.times import as_datetime, as_us
from energy.units import HOUR_US
from telemetry.streams import METER, VEHICLE

# A gap that is longer is not told.
LONGEST_GAP_US = 400 * 24 * HOUR_US
# So much is computed at a time: an hour of a vehicle with its meter has some 120 readings.
VEHICLE_HOURS = 2_000


async def read_hourly(
    connection: Connection, vehicles: Sequence[str], start: datetime, end: datetime, as_of: datetime
) -> Hourly:
    """Return the energy of vehicles in start < t <= end, by its UTC hours.

    The connection is in a snapshot, and loads arrays by `load_arrays`. Raises psycopg.Error.
    """
    first, last = as_us(start), as_us(end)
    parts, meters, spans = await _charged(connection, vehicles, first, last)
    delivered = await read_history(
        connection, VEHICLE, [(one, start, end) for one in vehicles], as_of
    )
    drawn = await read_history(connection, METER, spans, as_of)
    begin = drawn.first_gap(first)
    if begin < first:
        # A gap is known to those who had the meter in all of it.
        begin = max(begin, first - LONGEST_GAP_US)
        longer, earlier, _ = await _charged(connection, vehicles, begin, last)
        parts = longer.ending_after(first).among(earlier, meters)
    return await asyncio.to_thread(Hourly.of, delivered, drawn, parts, hours(first, last))


async def _charged(
    connection: Connection, vehicles: Sequence[str], start: int, end: int
) -> tuple[Parts, list[str], list[Span]]:
    """Return when meters charged vehicles in start < t <= end, and what `extents` says of them."""
    bonds = await read_bonds(connection, as_datetime(start), as_datetime(end), vehicles=vehicles)
    bound = sorted({meter for one in vehicles for meter in bonds.meters_of(one)})
    return extents(Charged.of(vehicles, bound, bonds, start, end).parts, bound)
