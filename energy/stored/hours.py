"""Reads the energy of vehicles by the hour, as it is kept, from readings."""

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta

import numpy as np

from energy.charged import Charged
from energy.hourly import Hourly
from energy.performance import hours
from energy.stored.bonds import read_bonds
from energy.stored.histories import Connection, read_history
from energy.stored.times import as_datetime, as_us
from telemetry.streams import METER, VEHICLE

# A gap that is longer is not told.
LONGEST_GAP = timedelta(days=400)
# So much is computed at a time: an hour of a vehicle with its meter has some 120 readings.
VEHICLE_HOURS = 2_000


async def read_hourly(
    connection: Connection, vehicles: Sequence[str], start: datetime, end: datetime, as_of: datetime
) -> Hourly:
    """Return the energy of vehicles in start < t <= end, by its UTC hours.

    The connection is in a snapshot, and loads arrays by `load_arrays`. Raises psycopg.Error.
    """
    first, last = as_us(start), as_us(end)
    bonds = await read_bonds(connection, start - LONGEST_GAP, end, vehicles=vehicles)
    meters = sorted({meter for one in vehicles for meter in bonds.meters_of(one)})
    parts = Charged.of(vehicles, meters, bonds, as_us(start - LONGEST_GAP), last).parts
    parts = parts.ending_after(first)
    which = np.unique(parts.device)
    spans = []
    for place in which.tolist():
        mine = parts.device == place
        begin = max(int(parts.starts[mine].min()), first)
        spans.append((meters[place], as_datetime(begin), as_datetime(int(parts.ends[mine].max()))))
    delivered = await read_history(
        connection, VEHICLE, [(one, start, end) for one in vehicles], as_of
    )
    drawn = await read_history(connection, METER, spans, as_of)
    return await asyncio.to_thread(
        Hourly.of, delivered, drawn, parts.of_devices(which), hours(first, last)
    )
