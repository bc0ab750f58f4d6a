"""The fleet's day with its hours, computed together so that they add up.

Hours are expensive, and hardly change once they are over. Each time the newest two are computed
again, and of the others the one that was computed longest ago. If they do not add up to the day,
late readings came, and all of them are computed again.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from api.figures.energies import Energy, HourEnergy, total
from api.figures.fleet_day import FleetDay, fleet_day, recent_window
from api.figures.window import HOUR, DayWindow
from api.postgres.database import Connection, Database
from api.queries.fleet_day import fleet_hour
from api.queries.refusals import schema_explained

_NEWEST = 2
# Sums that differ by less are the same: a chart would not show it.
_SAME_SHARE, _SAME_KWH = 1e-4, 0.001


@dataclass(frozen=True, slots=True)
class FleetHours:
    """A day with its UTC hours; the last one is not over."""

    day: FleetDay
    hours: list[HourEnergy]

    @property
    def energy(self) -> Energy:
        return total(hour.energy for hour in self.hours)


class Hours:
    """The hours that were computed, by their starts, and when each was."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._computed: dict[datetime, tuple[datetime, HourEnergy]] = {}
        # What the day had beyond its hours when all of them were computed at once.
        self._residue = Energy(0.0, 0.0)

    async def renew(self) -> FleetHours:
        """Return the day by now, and compute the hours that are due; raises Problem (503)."""
        async with self._database.read() as connection, schema_explained():
            window = await recent_window(connection)
        starts = window.hours
        self._computed = {at: known for at, known in self._computed.items() if at in starts}
        older, newest = starts[:-_NEWEST], starts[-_NEWEST:]
        # 1. Hours that are missing, or were not over yet; and the one computed longest ago.
        due = [at for at in older if not self._is_whole(at)]
        rest = sorted(set(older) - set(due), key=lambda at: self._computed[at][0])
        await self._compute(due + rest[:1], window)
        # 2. The day and the newest hours, into which readings still come, see the same readings.
        async with self._database.snapshot() as connection, schema_explained():
            day = await fleet_day(connection, window)
            for at in newest:
                await self._compute_one(connection, at, window)
        # 3. If they do not add up, late readings came into an older hour.
        if not _is_same(self._beyond_hours(day), self._residue, day.energy):
            await self._compute(older, window)
            self._residue = self._beyond_hours(day)
        return FleetHours(day, [self._computed[at][1] for at in starts])

    def _is_whole(self, start: datetime) -> bool:
        return start in self._computed and self._computed[start][1].end == start + HOUR

    def _beyond_hours(self, day: FleetDay) -> Energy:
        """Return what the day has beyond its hours."""
        known = total(hour.energy for _, hour in self._computed.values())
        return Energy(day.energy.ac_kwh - known.ac_kwh, day.energy.dc_kwh - known.dc_kwh)

    async def _compute(self, starts: Sequence[datetime], window: DayWindow) -> None:
        for start in starts:
            async with self._database.snapshot() as connection, schema_explained():
                await self._compute_one(connection, start, window)

    async def _compute_one(
        self, connection: Connection, start: datetime, window: DayWindow
    ) -> None:
        end = min(start + HOUR, window.end)
        energy, judged = await fleet_hour(connection, start, end)
        hour = HourEnergy(start, end, Energy(*energy), Energy(*judged))
        self._computed[start] = (window.end, hour)


def _is_same(one: Energy, other: Energy, of: Energy) -> bool:
    return all(
        abs(a - b) <= max(_SAME_KWH, _SAME_SHARE * whole)
        for a, b, whole in zip(one, other, of, strict=True)
    )
