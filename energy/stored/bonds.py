"""Reads who is bound to whom."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from psycopg import AsyncConnection

from energy.bonds import Bond, Bonds
from energy.stored.statements import statement
from energy.stored.times import as_us, end_us


async def read_bonds(
    connection: AsyncConnection[dict[str, Any]],
    start: datetime,
    end: datetime,
    *,
    vehicles: Sequence[str] = (),
    meters: Sequence[str] = (),
) -> Bonds:
    """Return the bonds of devices in start < t <= end, and all of their meters.

    Raises psycopg.Error.
    """
    cursor = await connection.execute(
        statement("bonds"),
        {"vehicles": list(vehicles), "meters": list(meters), "start": start, "end": end},
    )
    assignments: list[Bond] = []
    sessions: list[Bond] = []
    async for row in cursor:
        times = as_us(row["started_at"]), end_us(row["ended_at"])
        bond = Bond(row["vehicle_id"], row["meter_id"], *times)
        (sessions if row["is_session"] else assignments).append(bond)
    return Bonds(assignments, sessions)
