"""Reads how well all vehicles were charged."""

import asyncio
from datetime import datetime

from energy.charged import Charged
from energy.fleet import Charge, charges
from energy.stored.bonds import read_bonds
from energy.stored.histories import Connection
from energy.stored.statements import statement
from energy.stored.sums import read_sums
from energy.stored.times import as_us


async def read_fleet(
    connection: Connection,
    start: datetime,
    end: datetime,
    as_of: datetime,
    *,
    most_vehicle_hours: float = float("inf"),
) -> list[Charge]:
    """Return how well each vehicle was charged in start < t <= end, in order of their ids.

    The connection is in a snapshot, and loads arrays by `load_arrays`. Raises TooManyReadings, as
    `read_sums` does, and psycopg.Error.
    """
    cursor = await connection.execute(statement("known_vehicles"))
    vehicles = [row["vehicle_id"] for row in await cursor.fetchall()]
    sums = await read_sums(
        connection, vehicles, start, end, as_of, most_vehicle_hours=most_vehicle_hours
    )
    bonds = await read_bonds(connection, start, end, vehicles=vehicles)

    def judged() -> list[Charge]:
        meters = sorted({meter for one in vehicles for meter in bonds.meters_of(one)})
        charged = Charged.of(vehicles, meters, bonds, as_us(start), as_us(end))
        return charges(vehicles, sums, charged, as_us(start), as_us(end))

    return await asyncio.to_thread(judged)
