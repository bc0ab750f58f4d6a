"""The fleet's figures, remembered for some seconds: however many look, PostgreSQL is asked once.

The hours are dear, and hardly change once they are over: each time the newest two are computed
again, and of the others the one that was not for the longest, in case late readings came.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from psycopg.errors import UndefinedColumn, UndefinedFunction, UndefinedTable
from psycopg.rows import DictRow

from api.database import Database
from api.page.energies import HourEnergy
from api.page.pace import Look, Pace, Rate
from api.page.remembered import Remembered
from api.problems import Problem
from api.statements import statement

MOST_LETTERS = 100_000
DAY = timedelta(hours=24)
HOUR = timedelta(hours=1)
NOW_KEPT_S, DAY_KEPT_S, HOURS_KEPT_S = 5.0, 30.0, 60.0
_LOOK_S = 10.0
_LACKS = (UndefinedTable, UndefinedColumn, UndefinedFunction)
_NEWEST = 2


@dataclass(frozen=True, slots=True)
class Now:
    """What goes on, as `page_now.sql` names it, and the pace."""

    row: DictRow
    rate: Rate | None


@dataclass(frozen=True, slots=True)
class FleetDay:
    """The last 24 hours, as `fleet.sql` names them, and the meters of the worst."""

    start: datetime
    end: datetime
    row: DictRow
    meters: dict[str, list[str]]

    @property
    def ratio(self) -> float | None:
        return self.row["dc_kwh"] / self.row["ac_kwh"] if self.row["ac_kwh"] else None


@dataclass(frozen=True, slots=True)
class FleetHours:
    """The UTC hours of the last day, the last one so far as it has come."""

    start: datetime
    end: datetime
    hours: list[HourEnergy]


class Figures:
    """Each of the three computed at most once in its time."""

    def __init__(self, *, database: Database) -> None:
        self._database = database
        self._pace = Pace()
        self._computed: dict[datetime, tuple[datetime, HourEnergy]] = {}
        self.now = Remembered(self._now, keep_s=NOW_KEPT_S)
        self.day = Remembered(self._day, keep_s=DAY_KEPT_S)
        self.hours = Remembered(self._hours, keep_s=HOURS_KEPT_S)

    @asynccontextmanager
    async def opened(self) -> AsyncIterator["Figures"]:
        """Give up at the end what is still being computed."""
        try:
            yield self
        finally:
            for remembered in (self.now, self.day, self.hours):
                await remembered.close()

    async def run(self) -> None:
        """Look at the offsets every few seconds, for ever; a look that fails is left out."""
        while True:
            with suppress(Problem):
                rows = await self._rows("page_offsets")
                if rows:
                    row = rows[0]
                    self._pace.add(Look(row["at"], row["consumer_group"], row["messages"]))
            await asyncio.sleep(_LOOK_S)

    async def _now(self) -> Now:
        (row,) = await self._rows("page_now", most_letters=MOST_LETTERS + 1)
        return Now(row, self._pace.rate())

    async def _day(self) -> FleetDay:
        end = datetime.now(UTC).replace(microsecond=0)
        start = (end - DAY).replace(minute=0, second=0)
        (row,) = await self._rows("fleet", start=start, end=end)
        worst = [one["vehicle_id"] for one in row["worst"]]
        meters = await self._rows("page_meters", vehicle_ids=worst, start=start, end=end)
        return FleetDay(start, end, row, {one["vehicle_id"]: one["meters"] for one in meters})

    async def _hours(self) -> FleetHours:
        now = datetime.now(UTC).replace(microsecond=0)
        last = now.replace(minute=0, second=0)
        starts = [last - index * HOUR for index in range(24)]
        self._computed = {at: known for at, known in self._computed.items() if at in starts}
        due = [at for at in starts if at not in self._computed]
        due += [at for at in starts[:_NEWEST] if at not in due]
        older = [at for at in starts[_NEWEST:] if at not in due]
        due += sorted(older, key=lambda at: self._computed[at][0])[:1]
        for start in due:
            # On the hour itself the newest has not begun.
            if (end := min(start + HOUR, now)) > start:
                (row,) = await self._rows("page_hour", start=start, end=end)
                energy = HourEnergy(start, end, row["ac_kwh"], row["dc_kwh"])
                self._computed[start] = (now, energy)
        hours = [self._computed[at][1] for at in sorted(self._computed)]
        return FleetHours(starts[-1], last + HOUR, hours)

    async def _rows(self, name: str, **parameters: Any) -> list[DictRow]:
        try:
            async with self._database.read() as connection:
                cursor = await connection.execute(statement(name), parameters)
                return await cursor.fetchall()
        except _LACKS as error:
            # A table or a function is missing: the schema was not applied yet, or is an older one.
            raise Problem(
                503, "the database lacks what this version needs: apply the schema"
            ) from error
