"""Reads the energy of many vehicles: what is kept, and the rest from readings."""

from collections.abc import Sequence
from datetime import datetime

from energy.stored.affected import read_affected, read_notes
from energy.stored.days import Sums, read_days
from energy.stored.histories import Connection
from energy.stored.hours import read_hourly
from energy.stored.times import as_datetime, as_us


async def read_sums(
    connection: Connection, vehicles: Sequence[str], start: datetime, end: datetime, as_of: datetime
) -> Sums:
    """Return the energy of vehicles in start < t <= end, which are whole hours, in their order.

    It is that of their readings. The connection is in a snapshot, and loads arrays by
    `load_arrays`. Raises psycopg.Error.
    """
    affected = await read_affected(connection, await read_notes(connection))
    sums, raw_from = await read_days(
        connection, vehicles, start, end, as_of=as_of, affected=affected
    )
    groups: dict[int, list[int]] = {}
    for place, time in enumerate(raw_from):
        if time is not None:
            groups.setdefault(time, []).append(place)
    for time, places in groups.items():
        ids = [vehicles[place] for place in places]
        hourly = await read_hourly(connection, ids, as_datetime(time), end, as_of)
        columns = (hourly.ac, hourly.dc, hourly.ac_known_us, hourly.dc_known_us)
        for own, place in enumerate(places):
            sums.add(place, *(int(column[own].sum()) for column in columns))
        for gap in hourly.gaps:
            if gap.start >= as_us(start):  # it may begin in what was kept
                known = (gap.length_us, 0) if gap.is_ac else (0, gap.length_us)
                sums.add(places[gap.owner], 0, 0, *known)
    return sums
