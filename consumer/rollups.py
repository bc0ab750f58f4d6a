"""Rollups: what flushes have touched is computed anew, a little at a time.

Nothing depends on it but the speed of questions about the whole fleet: what is still noted is taken
from history. So ingestion comes first; this gives way to it, and stops at nothing for long.
"""

import asyncio
import time
from collections.abc import Callable

import psycopg
import structlog

from consumer.database import Connection, Database, KeptConnection
from consumer.partitions import date_of, first_kept_day
from consumer.settings import HistorySettings
from telemetry.timestamps import DAY_US

log = structlog.get_logger()

PAUSE_S = 1.0
NOTES = 100
COMPLETE_EVERY_S = 60.0
# Of PostgreSQL's time it takes at the most one part in ten, however far behind it is, and while the
# replica itself is behind it waits: but not for long, or the fleet's answers would become slow.
IDLE_SHARE = 9
PUT_OFF_S = 60.0
_PAUSE_AFTER_ERROR_S = 60.0


async def keep_rolled_up(
    database: Database, settings: HistorySettings, *, is_behind: Callable[[], bool]
) -> None:
    """Work off the notes for ever, then complete days; replicas take turns as they come."""
    worker = _Worker(database, settings)
    try:
        while True:
            put_off_until = time.monotonic() + PUT_OFF_S
            while is_behind() and time.monotonic() < put_off_until:  # noqa: ASYNC110  looks will do
                await asyncio.sleep(PAUSE_S)
            begun = time.monotonic()
            is_done = True
            try:
                is_done = await database.patiently(worker.work_off)
            except psycopg.Error as error:  # ingestion goes on, and answers come from history
                log.error("rollup_failed", error=" ".join(str(error).split()))  # noqa: TRY400  one line
                await asyncio.sleep(_PAUSE_AFTER_ERROR_S)
            pause = IDLE_SHARE * (time.monotonic() - begun)
            await asyncio.sleep(max(PAUSE_S, pause) if is_done else pause)
    finally:
        await worker.aclose()


class _Worker:
    """A connection of its own, opened again after every error."""

    def __init__(self, database: Database, settings: HistorySettings) -> None:
        self._connection = KeptConnection(database)
        self._settings = settings
        self._complete_from = 0.0

    async def work_off(self) -> bool:
        """Work off some notes, and say whether there are no more; raises psycopg.Error."""
        try:
            connection = await self._connection.get()
            cursor = await connection.execute("SELECT roll_up(%s)", [NOTES])
            row: tuple[int | None] | None = await cursor.fetchone()
            (worked_off,) = row or (None,)
            if worked_off is not None and worked_off < NOTES:
                await self._complete_days(connection)
        except BaseException:  # cancelled, too: what it was asked then is not known
            await self.aclose()
            raise
        return worked_off != NOTES  # None while another replica does it

    async def aclose(self) -> None:
        await self._connection.aclose()

    async def _complete_days(self, connection: Connection) -> None:
        """See to days that are over, some devices at a time; once all are, rest a while."""
        if time.monotonic() < self._complete_from:
            return
        now_us = time.time_ns() // 1_000
        cursor = await connection.execute(
            "SELECT complete_a_day(%s, %s)",
            [
                first_kept_day(now_us, self._settings.history_retention_days),
                date_of(now_us // DAY_US),
            ],
        )
        if await cursor.fetchone() == (False,):
            self._complete_from = time.monotonic() + COMPLETE_EVERY_S
