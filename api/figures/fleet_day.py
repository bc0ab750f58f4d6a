"""The energy of all vehicles in the last day, by status, and the worst with their meters."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NamedTuple

from api.figures.energies import Energy, total
from api.figures.window import DAY, DayWindow, from_first_reading
from api.models.energy import BANDS, STATUSES, Anomaly, Status
from api.postgres.database import Connection
from api.queries.fleet import anomaly_of, fleet_charges
from api.queries.fleet_day import Kwh, fleet_begin, lacking, vehicles_meters

MOST_METERS = 5
"""The most meters that are named of each vehicle."""


class Group(NamedTuple):
    """The vehicles of one status."""

    status: Status
    vehicles: int
    energy: Energy


@dataclass(frozen=True, slots=True)
class FleetDay:
    """All vehicles by status, and the worst of them."""

    window: DayWindow
    groups: Sequence[Group]
    lacking: dict[str, int]
    """How many vehicles cannot be judged, by what they lack: the names of `lacking`."""
    worst: list[Anomaly]
    meters: dict[str, list[str]]
    """The meters of each of the worst."""

    @property
    def vehicles(self) -> int:
        return sum(group.vehicles for group in self.groups)

    @property
    def energy(self) -> Energy:
        return total(group.energy for group in self.groups)

    @property
    def judged_vehicles(self) -> int:
        return sum(group.vehicles for group in self.groups if group.status in BANDS)

    @property
    def judged(self) -> Energy:
        """The energy of the vehicles that have a band: the ratio is computed from it."""
        return total(group.energy for group in self.groups if group.status in BANDS)


async def recent_window(connection: Connection) -> DayWindow:
    """Return the last 24 hours from a whole hour on, or from the fleet's first reading's hour."""
    end = datetime.now(UTC).replace(microsecond=0)
    start = (end - DAY).replace(minute=0, second=0)
    row = await fleet_begin(connection, start, end)
    return from_first_reading(DayWindow(start, end, is_young=False), row)


async def fleet_day(connection: Connection, window: DayWindow) -> FleetDay:
    """Return the fleet's day; the connection is in a snapshot. Raises Problem (503)."""
    start, end, _ = window
    found = await fleet_charges(connection, start, end)
    worst = found.worst
    meters = await vehicles_meters(
        connection, [one.vehicle_id for one in worst], start, end, most_meters=MOST_METERS
    )
    groups = []
    for status in STATUSES:
        charges = [one for one in found.charges if one.status == status]
        groups.append(Group(status, len(charges), Energy(*Kwh.of(charges))))
    return FleetDay(
        window=window,
        groups=groups,
        lacking=lacking(found.charges),
        worst=[anomaly_of(one) for one in worst],
        meters={one["vehicle_id"]: _few(one["meters"], one["known"]) for one in meters},
    )


def _few(meters: list[str], known: int) -> list[str]:
    return [*meters, f"{known - len(meters)} more"] if known > len(meters) else meters
