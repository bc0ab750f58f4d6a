"""Reads how well vehicles were charged."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
from psycopg import AsyncConnection

from energy.charged import Charged
from energy.history import History
from energy.performance import Performance, performance
from energy.sides import Parts
from energy.stored.bonds import read_bonds
from energy.stored.histories import Span, read_history
from energy.stored.times import as_datetime, as_us
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
    charged, meters, spans = _extents(charged, bound)
    delivered = await read_history(
        connection, VEHICLE, [(one, start, end) for one in vehicle_ids], as_of
    )
    drawn = await read_history(connection, METER, spans, as_of)
    found = performance(delivered, drawn, charged, first, last)
    return Charging(found, charged, meters, delivered, drawn)


def _extents(charged: Charged, bound: Sequence[str]) -> tuple[Charged, list[str], list[Span]]:
    """Leave out the meters that charged none; return the others, and from when to when they did."""
    parts = charged.parts
    which, devices = np.unique(parts.device, return_inverse=True)
    starts = np.full(len(which), np.iinfo(np.int64).max)
    ends = np.full(len(which), np.iinfo(np.int64).min)
    np.minimum.at(starts, devices, parts.starts)
    np.maximum.at(ends, devices, parts.ends)
    meters = [bound[place] for place in which.tolist()]
    spans = [
        (meter, as_datetime(start), as_datetime(end))
        for meter, start, end in zip(meters, starts.tolist(), ends.tolist(), strict=True)
    ]
    left = Parts(parts.owner, devices, parts.starts, parts.ends)
    return Charged(left, charged.has_meter, charged.shares), meters, spans
