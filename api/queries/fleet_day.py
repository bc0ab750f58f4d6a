"""What the fleet's page shows of its last day, beside vehicles by status: hours, meters."""

from collections.abc import Iterable
from datetime import datetime
from typing import NamedTuple

from psycopg.rows import DictRow

from api.postgres.database import Connection
from api.queries.fleet import fleet_charges
from api.queries.rows import all_rows, only_row
from api.queries.statements import statement
from energy.fleet import Charge
from energy.status import Status
from energy.units import to_kwh

_HALF = 0.5


class Kwh(NamedTuple):
    """kWh drawn as AC, and delivered as DC, as far as they are known."""

    ac: float
    dc: float

    @classmethod
    def of(cls, charges: Iterable[Charge]) -> "Kwh":
        """Return what vehicles have together."""
        known = list(charges)
        return cls(
            to_kwh(sum(one.ac or 0 for one in known)), to_kwh(sum(one.dc or 0 for one in known))
        )


async def fleet_begin(connection: Connection, start: datetime, end: datetime) -> DictRow:
    """Return `is_older`, whether any vehicle sent by the start, and `first_at`, its time if not.

    `first_at` is the first time in start < recorded_at <= end, None if there is none.
    """
    return await only_row(connection, statement("fleet_begin"), start=start, end=end)


async def fleet_hour(connection: Connection, start: datetime, end: datetime) -> tuple[Kwh, Kwh]:
    """Return what all vehicles have in an hour or less, and those that it can judge.

    These have a meter, readings of both cover half of the hour, and they are not implausible;
    vehicles with little energy are among them. The connection is in a snapshot. Raises Problem
    (503), as `fleet_charges` does.
    """
    found = await fleet_charges(connection, start, end)
    judged = [one for one in found.charges if one.status.is_band or _has_little(one)]
    return Kwh.of(found.charges), Kwh.of(judged)


def lacking(charges: Iterable[Charge]) -> dict[str, int]:
    """Return how many vehicles lack the data to be judged, by what they lack."""
    counts = {"silent": 0, "meter_silent": 0, "little": 0}
    for one in charges:
        if one.status is not Status.INSUFFICIENT_DATA:
            continue
        if one.vehicle_coverage < _HALF:
            counts["silent"] += 1
        elif one.meter_coverage < _HALF:
            counts["meter_silent"] += 1
        else:
            counts["little"] += 1
    return counts


def _has_little(charge: Charge) -> bool:
    return (
        charge.status is Status.INSUFFICIENT_DATA
        and charge.vehicle_coverage >= _HALF
        and charge.meter_coverage >= _HALF
    )


async def vehicles_meters(
    connection: Connection,
    vehicle_ids: list[str],
    start: datetime,
    end: datetime,
    *,
    most_meters: int,
) -> list[DictRow]:
    """Return the first meters that charged each vehicle; `known` is how many there were."""
    return await all_rows(
        connection,
        statement("vehicles_meters"),
        vehicle_ids=vehicle_ids,
        start=start,
        end=end,
        most_meters=most_meters,
    )
