"""The fleet's figures, remembered for some seconds: however many look, PostgreSQL is asked once.

The day and its hours are computed together, so that they add up. Hours are expensive, and hardly
change once they are over: each time the newest two are computed again, and of the others the one
that was not for the longest; all of them, where they do not add up to the day, as late readings
came.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from psycopg.rows import DictRow

from api.figures.energies import Energy, HourEnergy, total
from api.figures.intake import Intake, Taken
from api.figures.pace import Rate
from api.figures.remembered import Remembered
from api.postgres.database import Connection, Database
from api.queries.rows import rows
from runtime.kafka.settings import KafkaSettings

MOST_LETTERS = 100_000
MOST_METERS = 5  # of each vehicle
DAY = timedelta(hours=24)
HOUR = timedelta(hours=1)
NOW_KEPT_S, DAY_KEPT_S = 5.0, 60.0
BANDS = ("optimal", "degraded", "critical")
STATUSES = (*BANDS, "implausible", "insufficient_data", "no_meter")
_NEWEST = 2
# What sums may differ by before hours are computed anew; less is not seen in a chart.
_SAME_SHARE, _SAME_KWH = 1e-4, 0.001


@dataclass(frozen=True, slots=True)
class Now:
    """What goes on, as `page_now.sql` names it, how far the group has come, and how fast."""

    row: DictRow
    taken: Taken
    rate: Rate | None


class Window(NamedTuple):
    """The last 24 hours from a whole hour on; `is_young`: from the first reading's hour on."""

    start: datetime
    end: datetime
    is_young: bool

    @property
    def hours(self) -> list[datetime]:
        """When the window's UTC hours begin; one that is about to begin is left out."""
        starts = []
        at = self.start
        while at < self.end:
            starts.append(at)
            at += HOUR
        return starts


class Group(NamedTuple):
    """The vehicles of one status."""

    status: str
    vehicles: int
    energy: Energy


@dataclass(frozen=True, slots=True)
class FleetDay:
    """What all vehicles come to, by status; the worst with their meters."""

    window: Window
    groups: Sequence[Group]
    lacking: dict[str, int]
    """How many lack what for a judgement, as `page_fleet.sql` names it."""
    worst: list[dict[str, Any]]
    meters: dict[str, list[str]]

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
        """What the ratio is computed of: the energy of the vehicles that have a band."""
        return total(group.energy for group in self.groups if group.status in BANDS)


@dataclass(frozen=True, slots=True)
class FleetHours:
    """A day with its UTC hours, the last one so far as it has come."""

    day: FleetDay
    hours: list[HourEnergy]

    @property
    def energy(self) -> Energy:
        return total(hour.energy for hour in self.hours)


class Figures:
    """Each computed at most once in its time."""

    def __init__(
        self,
        *,
        database: Database,
        kafka: KafkaSettings,
        group: str,
        day_kept_s: float = DAY_KEPT_S,
    ) -> None:
        # What goes on does not wait for the day, which takes long.
        self._database, self._glance = database.own("figures"), database.own("now")
        self._computed: dict[datetime, tuple[datetime, HourEnergy]] = {}
        # By how much hours that were all computed at once do not add up to their day.
        self._residue = Energy(0.0, 0.0)
        self.intake = Intake(database=database.own("intake"), kafka=kafka, group=group)
        self.now = Remembered(self._now, keep_s=NOW_KEPT_S)
        self.hours = Remembered(self._hours, keep_s=day_kept_s)
        # For as long as the hours are not there.
        self.day = Remembered(self._first_day, keep_s=day_kept_s)

    @asynccontextmanager
    async def opened(self) -> AsyncIterator["Figures"]:
        """Give up at the end what is still being computed."""
        try:
            yield self
        finally:
            for remembered in (self.now, self.day, self.hours):
                await remembered.close()

    async def run(self) -> None:
        """Look every few seconds at what is taken in, and what waits, for ever."""
        await self.intake.run()

    async def _now(self) -> Now:
        asking = {"group": self.intake.group, "most_letters": MOST_LETTERS + 1}
        async with self._glance.read() as connection:
            (row,) = await rows(connection, "page_now", **asking)
        taken = await self.intake.taken()
        return Now(row, taken, self.intake.rate)

    async def _first_day(self) -> FleetDay:
        window = await self._window()
        async with self._database.read() as connection:
            return await _day(connection, window)

    async def _hours(self) -> FleetHours:
        window = await self._window()
        starts = window.hours
        self._computed = {at: known for at, known in self._computed.items() if at in starts}
        older, newest = starts[:-_NEWEST], starts[-_NEWEST:]
        # 1. Hours that are not there, or were not over yet; and the one computed longest ago.
        due = [at for at in older if not self._is_whole(at)]
        rest = sorted(set(older) - set(due), key=lambda at: self._computed[at][0])
        await self._compute(due + rest[:1], window)
        # 2. The day and the newest hours, which readings still come in, see the same readings.
        async with self._database.snapshot() as connection:
            day = await _day(connection, window)
            for at in newest:
                await self._compute_one(connection, at, window)
        # 3. Where they do not add up, late readings came into an older hour.
        if not _is_same(self._lack(day), self._residue, day.energy):
            await self._compute(older, window)
            self._residue = self._lack(day)
        return FleetHours(day, [self._computed[at][1] for at in starts])

    async def _window(self) -> Window:
        end = datetime.now(UTC).replace(microsecond=0)
        start = (end - DAY).replace(minute=0, second=0)
        async with self._database.read() as connection:
            (row,) = await rows(connection, "page_fleet_begin", start=start, end=end)
        return begun(Window(start, end, is_young=False), row)

    def _is_whole(self, start: datetime) -> bool:
        return start in self._computed and self._computed[start][1].end == start + HOUR

    def _lack(self, day: FleetDay) -> Energy:
        """Return what the day has beyond its hours."""
        known = total(hour.energy for _, hour in self._computed.values())
        return Energy(day.energy.ac_kwh - known.ac_kwh, day.energy.dc_kwh - known.dc_kwh)

    async def _compute(self, starts: Sequence[datetime], window: Window) -> None:
        for start in starts:
            async with self._database.read() as connection:
                await self._compute_one(connection, start, window)

    async def _compute_one(self, connection: Connection, start: datetime, window: Window) -> None:
        end = min(start + HOUR, window.end)
        (row,) = await rows(connection, "page_hour", start=start, end=end)
        energy = Energy(row["ac_kwh"], row["dc_kwh"])
        judged = Energy(row["judged_ac_kwh"], row["judged_dc_kwh"])
        self._computed[start] = (window.end, HourEnergy(start, end, energy, judged))


def begun(window: Window, row: DictRow) -> Window:
    """Return the window from the hour of the first reading on, where there is none before it."""
    if row["is_older"] or row["first_at"] is None:
        return window
    # A reading on the hour belongs to the hour that it ends.
    first = row["first_at"] - timedelta(microseconds=1)
    start = max(window.start, first.replace(minute=0, second=0, microsecond=0))
    return Window(start, window.end, is_young=start > window.start)


async def _day(connection: Connection, window: Window) -> FleetDay:
    span = {"start": window.start, "end": window.end}
    (row,) = await rows(connection, "page_fleet", **span)
    worst = [one["vehicle_id"] for one in row["worst"]]
    asking = span | {"vehicle_ids": worst, "most_meters": MOST_METERS}
    meters = await rows(connection, "page_meters", **asking)
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


def _is_same(one: Energy, other: Energy, of: Energy) -> bool:
    return all(
        abs(a - b) <= max(_SAME_KWH, _SAME_SHARE * whole)
        for a, b, whole in zip(one, other, of, strict=True)
    )
