"""Reads the energy of charges: all that a meter drew and a vehicle took meanwhile."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np

from energy.sides import Parts, Sides
from energy.stored.histories import Connection, Entering, Span, read_history
from energy.stored.times import as_us
from telemetry.streams import METER, VEHICLE, Stream

# No reading that is stored lies further ahead of its arrival.
_AHEAD = timedelta(minutes=5)
_INSTANT = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Charge:
    """A vehicle that charges from a meter in start < t <= end; `end` is None while it does."""

    vehicle_id: str
    meter_id: str
    start: datetime
    end: datetime | None


async def read_energies(
    connection: Connection,
    charges: Sequence[Charge],
    as_of: datetime,
    *,
    entering: Entering | None = None,
) -> list[tuple[int | None, int | None]]:
    """Return what meter and vehicle of each charge have counted, in nanokilowatt-hours.

    None if nothing is known of it. `entering`: a session of all of them, which counts as if it were
    stored. The connection is in a snapshot, and loads arrays by `load_arrays`. Raises
    psycopg.Error.
    """
    ends = [max(one.end or as_of + _AHEAD, one.start + _INSTANT) for one in charges]
    drawn = await _read(
        connection,
        METER,
        [(one.meter_id, one.start, end) for one, end in zip(charges, ends, strict=True)],
        as_of,
        entering,
    )
    delivered = await _read(
        connection,
        VEHICLE,
        [(one.vehicle_id, one.start, end) for one, end in zip(charges, ends, strict=True)],
        as_of,
        entering,
    )
    return list(zip(drawn, delivered, strict=True))


async def _read(
    connection: Connection,
    stream: Stream,
    spans: Sequence[Span],
    as_of: datetime,
    entering: Entering | None,
) -> list[int | None]:
    if not spans:
        return []
    history = await read_history(connection, stream, spans, as_of, entering=entering)
    places = np.arange(len(spans))
    starts = np.array([as_us(start) for _, start, _ in spans], np.int64)
    ends = np.array([as_us(end) for _, _, end in spans], np.int64)
    # One hour is not told from another.
    whole = np.array([starts.min(), ends.max()])
    sides = Sides.of(history, Parts(places, places, starts, ends), len(spans), whole)
    return [sides.known_total(place) for place in range(len(spans))]
