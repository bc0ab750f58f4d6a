"""Reads the energy of many vehicles: what is kept, and the rest from readings."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from energy.fleet import Sums
from energy.stored.affected import read_affected
from energy.stored.days import read_days, whole_hours
from energy.stored.histories import Connection
from energy.stored.hours import VEHICLE_HOURS, read_hourly
from energy.stored.times import as_datetime, as_us
from energy.units import HOUR_US


class TooManyReadings(Exception):  # noqa: N818  an outcome more than an error
    """So much is not rolled up that it would take too long to read it."""


class _Rest(NamedTuple):
    """The places of vehicles whose energy in start < t <= end is to be read."""

    places: Sequence[int]
    start: int
    end: int

    @property
    def vehicle_hours(self) -> float:
        return len(self.places) * (self.end - self.start) / HOUR_US

    def chunks(self) -> "list[_Rest]":
        """Return so many vehicles at a time that not too many readings are held."""
        size = max(1, VEHICLE_HOURS * HOUR_US // (self.end - self.start))
        return [
            _Rest(self.places[begin : begin + size], self.start, self.end)
            for begin in range(0, len(self.places), size)
        ]


async def read_sums(
    connection: Connection,
    vehicles: Sequence[str],
    start: datetime,
    end: datetime,
    as_of: datetime,
    *,
    most_vehicle_hours: float = float("inf"),
) -> Sums:
    """Return the energy of vehicles in start < t <= end, in their order: that of their readings.

    The connection is in a snapshot, and loads arrays by `load_arrays`. Raises TooManyReadings if
    more is to be read than `most_vehicle_hours`, and psycopg.Error.
    """
    asked = as_us(start), as_us(end)
    first, last = whole_hours(*asked)
    if first < last:
        affected = await read_affected(connection)
        sums, until = await read_days(
            connection, vehicles, start, end, as_of=as_of, affected=affected
        )
        rests = _rests(until, asked, first)
    else:
        sums = Sums.none(len(vehicles))
        rests = [_Rest(range(len(vehicles)), *asked)]
    if sum(rest.vehicle_hours for rest in rests) > most_vehicle_hours:
        raise TooManyReadings
    for rest in rests:
        for chunk in rest.chunks():
            await _add(connection, vehicles, chunk, as_of, sums, since=asked[0])
    return sums


def _rests(until: Sequence[int], asked: tuple[int, int], first: int) -> list[_Rest]:
    """Return what rows do not tell: before the first whole hour, and of each after its own."""
    start, end = asked
    groups: dict[int, list[int]] = {}
    for place, time in enumerate(until):
        if time < end:
            groups.setdefault(time, []).append(place)
    rests = [_Rest(places, time, end) for time, places in groups.items()]
    if start < first:
        rests.append(_Rest(range(len(until)), start, first))
    return rests


async def _add(
    connection: Connection,
    vehicles: Sequence[str],
    rest: _Rest,
    as_of: datetime,
    sums: Sums,
    *,
    since: int,
) -> None:
    """Add what readings tell; `since` is the begin of all that is asked about."""
    ids = [vehicles[place] for place in rest.places]
    hourly = await read_hourly(
        connection, ids, as_datetime(rest.start), as_datetime(rest.end), as_of
    )
    columns = (hourly.ac, hourly.dc, hourly.ac_known_us, hourly.dc_known_us)
    totals = zip(*(column.sum(axis=1).tolist() for column in columns), strict=True)
    for place, total in zip(rest.places, totals, strict=True):
        sums.add(place, *total)
    for gap in hourly.gaps:
        if gap.start >= since:  # it may begin in what was kept
            known = (gap.length_us, 0) if gap.is_ac else (0, gap.length_us)
            sums.add(rest.places[gap.owner], 0, 0, *known)
