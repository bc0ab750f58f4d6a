"""The vehicles whose charging is implausible, or poorer than a threshold."""

from typing import NamedTuple

from api.models.energy import Anomaly
from api.postgres.database import Connection
from api.queries.fleet import anomaly_of, fleet_charges
from api.queries.windows import Window
from energy.fleet import Charge
from energy.status import Status


class Place(NamedTuple):
    """Where a vehicle stands in the order of anomalies; by default, before the first."""

    rank: int = -1
    weight: float = 0.0
    vehicle_id: str = ""


async def select_anomalies(
    connection: Connection, window: Window, *, threshold: float, after: Place, limit: int
) -> list[tuple[Place, Anomaly]]:
    """Return the first `limit` of them that follow a place, each with its own.

    `threshold` is in per cent. The connection is in a snapshot. Raises Problem (503), as
    `fleet_charges` does.
    """
    found = await fleet_charges(connection, window.start, window.end)
    # Not the ratio multiplied: 100 times 0.57 is below 57, and 57 / 100 is 0.57.
    rows = [(Place(*one.place), one) for one in found.charges if _stands_out(one, threshold / 100)]
    following = sorted(row for row in rows if row[0] > after)[:limit]
    return [(place, anomaly_of(one)) for place, one in following]


def _stands_out(charge: Charge, below: float) -> bool:
    """Return whether a vehicle is listed; the bands are decided by the ratio as it is."""
    if charge.status is Status.IMPLAUSIBLE:
        return True
    return charge.status.is_band and (charge.ratio or 0.0) < below
