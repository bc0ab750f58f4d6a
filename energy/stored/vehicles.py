"""Reads how well vehicles were charged."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg import AsyncConnection

from energy.charged import Charged
from energy.history import History
from energy.performance import Performance, performance
from energy.stored.bonds import read_bonds
from energy.stored.extents import extents
from energy.stored.histories import read_history
from energy.stored.times import as_us
from telemetry.streams import METER, VEHICLE

Connection = AsyncConnection[dict[str, Any]]


@dataclass(frozen=True, slots=True, eq=False)
class Charging:
    """How well n vehicles were charged in a window, and from what that follows.

    `meters`: the ids of the devices that `charged` and `drawn` are about, by their places.
    """

    performance: Performance
    charged: Charged
    meters: Sequence[str]
    delivered: History
    drawn: History


async def read_charging(
    connection: Connection,
    vehicle_ids: Sequence[str],
    start: datetime,
    end: datetime,
    as_of: datetime,
    *,
    meter_id: str | None = None,
) -> Charging:
    """Return how well vehicles were charged in start < t <= end, in their order.

    `meter_id`: all energy of this meter counts for the one vehicle. The connection is in a
    snapshot, and loads arrays by `load_arrays`. Raises psycopg.Error.
    """
    first, last = as_us(start), as_us(end)
    if meter_id is None:
        bonds = await read_bonds(connection, start, end, vehicles=vehicle_ids)
        bound = sorted({meter for one in vehicle_ids for meter in bonds.meters_of(one)})
        charged = Charged.of(vehicle_ids, bound, bonds, first, last)
    else:
        bound, charged = [meter_id], Charged.by(0, first, last)
    parts, meters, spans = extents(charged.parts, bound)
    charged = Charged(parts, charged.has_meter, charged.shares)
    delivered = await read_history(
        connection, VEHICLE, [(one, start, end) for one in vehicle_ids], as_of
    )
    drawn = await read_history(connection, METER, spans, as_of)
    found = performance(delivered, drawn, charged, first, last)
    return Charging(found, charged, meters, delivered, drawn)
