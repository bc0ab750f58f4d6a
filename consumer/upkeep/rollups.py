"""Rollups: the hours that flushes have touched are computed anew, a few at a time.

Only the speed of questions about the whole fleet depends on it: hours that are not computed yet are
read from history. So this gives way to ingestion, but never for long.
"""

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import cast

import psycopg
from psycopg import AsyncConnection
from psycopg.rows import DictRow, dict_row

from consumer.postgres.database import REPORTED_FROM, Database
from consumer.postgres.days import first_kept_day
from consumer.postgres.failures import is_refusal
from consumer.postgres.kept_connection import KeptConnection
from consumer.postgres.refusals import COMPLETION, ROLLUP
from consumer.settings import HistorySettings
from energy.stored.rolling_up import complete_days, roll_up
from runtime.postgres.arrays import load_arrays

PAUSE_S = 1.0
COMPLETE_EVERY_S = 60.0
# It works for a tenth of the time at most, however far behind it is. While the replica itself is
# behind it waits, but not for long, or the fleet's answers would become slow.
IDLE_SHARE = 9
PUT_OFF_S = 60.0


async def keep_rolled_up(
    database: Database, settings: HistorySettings, *, is_behind: Callable[[], bool]
) -> None:
    """Work off the notes for ever, and complete days in between; replicas take turns."""
    worker = _Worker(database, settings)
    try:
        while True:
            put_off_until = time.monotonic() + PUT_OFF_S
            while is_behind() and time.monotonic() < put_off_until:  # noqa: ASYNC110  looks will do
                await asyncio.sleep(PAUSE_S)
            is_done = await database.patiently(worker.work_off, work=ROLLUP)
            pause = IDLE_SHARE * worker.worked_s
            await asyncio.sleep(max(PAUSE_S, pause) if is_done else pause)
    finally:
        await worker.aclose()


class _Worker:
    """Rolls up on a connection of its own, which is opened again after every error."""

    def __init__(self, database: Database, settings: HistorySettings) -> None:
        self._connection = KeptConnection(database)
        self._refusals = database.refusals
        self._settings = settings
        self._complete_from = 0.0
        self._refused = 0
        self.worked_s = 0.0
        """How long the last look took, in seconds, without failed attempts before it."""

    async def work_off(self) -> bool:
        """Work off some notes, and return whether none are left; raises psycopg.Error."""
        begun = time.monotonic()
        try:
            connection = await self._prepared()
            is_done = await roll_up(connection, datetime.now(UTC))
            if is_done:
                await self._complete_days(connection)
        except BaseException:  # also cancelled: the connection is then in an unknown state
            await self.aclose()
            raise
        self.worked_s = time.monotonic() - begun
        return is_done is not False  # None while another replica does it

    async def aclose(self) -> None:
        await self._connection.aclose()

    async def _prepared(self) -> AsyncConnection[DictRow]:
        connection = await self._connection.get()
        prepared = cast("AsyncConnection[DictRow]", connection)
        prepared.row_factory = dict_row
        load_arrays(prepared)
        return prepared

    async def _complete_days(self, connection: AsyncConnection[DictRow]) -> None:
        """Complete days that are over, some vehicles at a time; once all are, rest a while."""
        if time.monotonic() < self._complete_from:
            return
        first = first_kept_day(time.time_ns() // 1_000, self._settings.history_retention_days)
        try:
            is_done = await complete_days(connection, datetime.now(UTC), first=first)
        except psycopg.Error as error:
            if not is_refusal(error):
                raise
            self._refused += 1  # the notes are worked off nevertheless
            if self._refused >= REPORTED_FROM:
                self._refusals.note(self, COMPLETION, error)
                self._complete_from = time.monotonic() + COMPLETE_EVERY_S
            await self.aclose()
            return
        self._refused = 0
        self._refusals.end(self)
        if is_done:
            self._complete_from = time.monotonic() + COMPLETE_EVERY_S
