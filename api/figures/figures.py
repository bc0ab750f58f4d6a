"""The figures of the fleet's page: however many people look, PostgreSQL is asked once."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from psycopg.rows import DictRow

from api.figures.fleet_day import FleetDay, fleet_day, recent_window
from api.figures.hours import Hours
from api.figures.intake import Intake, Taken
from api.figures.pace import Rate
from api.figures.remembered import Remembered
from api.postgres.database import Database
from api.queries.activity import activity
from api.queries.refusals import schema_explained
from runtime.kafka.settings import KafkaSettings

MOST_LETTERS = 100_000
"""Dead letters are counted up to this number."""
NOW_KEPT_S, DAY_KEPT_S = 5.0, 60.0


@dataclass(frozen=True, slots=True)
class Now:
    """What goes on (the row of `activity`), how far the group has come, and at what rate."""

    row: DictRow
    taken: Taken
    rate: Rate | None


class Figures:
    """What goes on now, the fleet's day, and the day by the hour; each kept for a while."""

    def __init__(
        self,
        *,
        database: Database,
        kafka: KafkaSettings,
        group: str,
        day_kept_s: float = DAY_KEPT_S,
    ) -> None:
        # What goes on now does not wait for the day, which takes long.
        self._database, self._glance = database.own("figures"), database.own("now")
        self.intake = Intake(database=database.own("intake"), kafka=kafka, group=group)
        self.now = Remembered(self._now, keep_s=NOW_KEPT_S)
        self.hours = Remembered(Hours(self._database).renew, keep_s=day_kept_s)
        # Shown for as long as the hours are not there.
        self.day = Remembered(self._day, keep_s=day_kept_s)

    @asynccontextmanager
    async def opened(self) -> AsyncIterator["Figures"]:
        """Give up at the end what is still being computed."""
        try:
            yield self
        finally:
            for remembered in (self.now, self.day, self.hours):
                await remembered.close()

    async def run(self) -> None:
        """Look every few seconds at what is taken in and what waits, until cancelled."""
        await self.intake.run()

    async def _now(self) -> Now:
        async with self._glance.read() as connection, schema_explained():
            row = await activity(connection, self.intake.group, most_letters=MOST_LETTERS + 1)
        taken = await self.intake.taken()
        return Now(row, taken, self.intake.rate)

    async def _day(self) -> FleetDay:
        async with self._database.read() as connection, schema_explained():
            window = await recent_window(connection)
        async with self._database.snapshot() as connection, schema_explained():
            return await fleet_day(connection, window)
