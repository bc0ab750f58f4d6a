"""How well the energy of one meter arrived at the vehicles that it served."""

from itertools import pairwise

from api.models.energy import (
    MeterHour,
    MeterPerformance,
    Quality,
    ServedVehicle,
    Share,
    WindowOut,
)
from api.postgres.database import Connection
from api.problems import Problem
from api.queries.performance import energy_of
from api.queries.rows import only_row
from api.queries.statements import statement
from api.queries.windows import Window
from energy import performance
from energy.ratio import ratio
from energy.stored.meters import read_serving
from energy.stored.times import as_datetime
from energy.units import as_kwh


async def meter_performance(
    connection: Connection, meter_id: str, window: Window
) -> MeterPerformance:
    """Return what a meter drew in a window, and what the vehicles took that it served.

    The connection is in a snapshot. Raises Problem (404) for a meter that is not known at all.
    """
    row = await only_row(connection, statement("is_meter_known"), meter_id=meter_id)
    if not row["known"]:
        raise Problem(404, f"meter {meter_id} is not known")
    serving = await read_serving(connection, meter_id, window.start, window.end, row["as_of"])
    found = serving.performance
    ac, dc = found.ac.known_total(0), found.dc.known_sum()
    return MeterPerformance(
        meter_id=meter_id,
        window=WindowOut(start=window.start, end=window.end, as_of=row["as_of"]),
        energy=energy_of(ac, dc),
        efficiency=Share(ratio=ratio(ac, dc)),
        vehicles=[
            ServedVehicle(
                vehicle_id=vehicle_id,
                ac_kwh=as_kwh(found.shares.known_total(place)),
                dc_kwh=as_kwh(found.dc.known_total(place)),
            )
            for place, vehicle_id in enumerate(serving.served.vehicles)
        ],
        quality=Quality(
            vehicle_readings=int(found.dc.readings.sum()),
            meter_readings=int(found.ac.readings[0]),
            vehicle_coverage=found.dc.joint_coverage(),
            meter_coverage=found.ac.joint_coverage(),
            reasons=list(found.reasons),
        ),
        hourly=_hours(found),
    )


def _hours(found: performance.MeterPerformance) -> list[MeterHour]:
    edges = [as_datetime(edge) for edge in found.edges.tolist()]
    hours = []
    energies = zip(found.ac.known_by_hour(), found.dc.known_by_hour(), strict=True)
    for (start, end), (ac, dc) in zip(pairwise(edges), energies, strict=True):
        hours.append(
            MeterHour(
                start=start, end=end, ac_kwh=as_kwh(ac), dc_kwh=as_kwh(dc), ratio=ratio(ac, dc)
            )
        )
    return hours
