"""The energy of all vehicles in the last day, by status, and the worst with their meters."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple

from api.figures.energies import Energy, total
from api.figures.window import DAY, DayWindow, from_first_reading
from api.models.energy import BANDS, STATUSES, Status
from api.postgres.database import Connection
from api.queries.fleet import fleet_by_status
from api.queries.fleet_day import fleet_begin, vehicles_meters

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
    """How many vehicles cannot be judged, by what they lack: the names of `fleet_by_status`."""
    worst: list[dict[str, Any]]
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
    """Return the fleet's day; raises Problem (503)."""
    start, end, _ = window
    row = await fleet_by_status(connection, start, end)
    worst = [one["vehicle_id"] for one in row["worst"]]
    meters = await vehicles_meters(connection, worst, start, end, most_meters=MOST_METERS)
    groups = []
    for status in STATUSES:
        found = row["statuses"].get(status, {"vehicles": 0, "ac_kwh": 0.0, "dc_kwh": 0.0})
        energy = Energy(found["ac_kwh"], found["dc_kwh"])
        groups.append(Group(status, found["vehicles"], energy))
    return FleetDay(
        window=window,
        groups=groups,
        lacking=row["lacking"],
        worst=row["worst"],
        meters={one["vehicle_id"]: _few(one["meters"], one["known"]) for one in meters},
    )


def _few(meters: list[str], known: int) -> list[str]:
    return [*meters, f"{known - len(meters)} more"] if known > len(meters) else meters
