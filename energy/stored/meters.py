"""Reads how well a meter's energy arrived at the vehicles that it served."""

from dataclasses import dataclass
from datetime import datetime

from energy.performance import MeterPerformance, meter_performance
from energy.served import Served
from energy.stored.bonds import read_bonds
from energy.stored.histories import Connection, read_history
from energy.stored.times import as_us
from telemetry.streams import METER, VEHICLE


@dataclass(frozen=True, slots=True, eq=False)
class Serving:
    """How well a meter's energy arrived, and whom it served when."""

    performance: MeterPerformance
    served: Served


async def read_serving(
    connection: Connection, meter_id: str, start: datetime, end: datetime, as_of: datetime
) -> Serving:
    """Return how well a meter's energy arrived in start < t <= end.

    The connection is in a snapshot, and loads arrays by `load_arrays`. Raises psycopg.Error.
    """
    first, last = as_us(start), as_us(end)
    bonds = await read_bonds(connection, start, end, meters=[meter_id])
    # Where else they were in a session.
    vehicles = sorted({bond.vehicle for bond in bonds.assignments_of_meter[meter_id]})
    bonds = await read_bonds(connection, start, end, vehicles=vehicles, meters=[meter_id])
    served = Served.of(meter_id, bonds, first, last)
    drawn = await read_history(connection, METER, [(meter_id, start, end)], as_of)
    delivered = await read_history(
        connection, VEHICLE, [(one, start, end) for one in served.vehicles], as_of
    )
    return Serving(meter_performance(drawn, delivered, served, first, last), served)
