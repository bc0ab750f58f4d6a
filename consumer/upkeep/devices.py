"""Devices are counted, and those that are silent and were never registered can be removed.

A device exists as soon as a reading names it, so a producer can invent any number of them.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import NamedTuple

from psycopg import sql
from psycopg.rows import class_row

from consumer.metrics import Metrics
from consumer.postgres.connection import Connection
from consumer.postgres.database import Database
from consumer.postgres.refusals import DEVICES
from consumer.postgres.statements import statement
from runtime.postgres import locks
from telemetry.streams import Stream

COUNT_EVERY_S = 60.0
# The most devices, and readings, that a transaction removes; one device is always removed.
MOST_DEVICES = 100
MOST_READINGS = 100_000


async def keep_counted(database: Database, metrics: Metrics) -> None:
    """Count the devices for ever."""

    async def attempt() -> None:
        async with database.connection() as connection:
            cursor = await connection.execute(statement("count_devices"))
            for stream, registered, unregistered in await cursor.fetchall():
                metrics.devices.labels(stream, "yes").set(registered)
                metrics.devices.labels(stream, "no").set(unregistered)

    await database.regularly(attempt, work=DEVICES, every_s=COUNT_EVERY_S)


@dataclass(frozen=True, slots=True, kw_only=True)
class Silent:
    """The devices of a stream that are silent, never registered, in no assignment and no session.

    Nothing of them was stored at `heard_before` or later; their ids begin with `prefix` and come
    after `after`.
    """

    stream: Stream
    heard_before: datetime
    prefix: str = ""
    after: str = ""

    def parameters(self) -> dict[str, object]:
        return {"heard_before": self.heard_before, "prefix": self.prefix, "after": self.after}

    def statement(self, name: str) -> sql.Composed:
        """Return the named statement, about these devices."""
        names = {
            "id": sql.Identifier(self.stream.id_column),
            "current_state": sql.Identifier(self.stream.current_state),
            "history": sql.Identifier(self.stream.history),
            "registry": sql.Identifier(self.stream.registry),
        }
        silent = sql.SQL(statement("silent_devices")).format(**names)
        return sql.SQL(statement(name)).format(silent=silent, **names)


@dataclass(frozen=True, slots=True)
class SilentDevice:
    """A device, the time of its newest reading, and when that was stored."""

    device_id: str
    recorded_at: datetime
    updated_at: datetime


class Removed(NamedTuple):
    """What was removed; `heard` devices sent late readings meanwhile, and stay."""

    devices: int = 0
    readings: int = 0
    heard: int = 0


async def count_silent(connection: Connection, silent: Silent) -> int:
    """Return how many there are by their newest readings; a late reading may keep a device."""
    cursor = await connection.execute(silent.statement("count_silent_devices"), silent.parameters())
    row = await cursor.fetchone()
    return row[0] if row else 0


async def list_silent(connection: Connection, silent: Silent, *, limit: int) -> list[SilentDevice]:
    """Return the first of them, by id."""
    async with connection.cursor(row_factory=class_row(SilentDevice)) as cursor:
        await cursor.execute(
            silent.statement("list_silent_devices"), silent.parameters() | {"limit": limit}
        )
        return await cursor.fetchall()


async def remove_silent(
    connection: Connection,
    silent: Silent,
    *,
    stopping: asyncio.Event,
    on_batch: Callable[[Removed], None],
) -> None:
    """Remove them with their current state, history and rollups, some in each transaction.

    `on_batch` is called after each transaction. It rests for as long as it works, so that roll-ups
    and flushes get a turn.
    """
    most = MOST_DEVICES
    while not stopping.is_set():
        begun = time.monotonic()
        removed, last = await _remove_some(connection, silent, most)
        if last is None:
            return
        on_batch(removed)
        silent = replace(silent, after=last)
        handled = removed.devices + removed.heard
        most = min(MOST_DEVICES, 2 * handled)
        await asyncio.sleep(time.monotonic() - begun)


async def _remove_some(
    connection: Connection, silent: Silent, most: int
) -> tuple[Removed, str | None]:
    """Remove the next devices; return what went, and the last id looked at, None at the end.

    1. No replica rolls up meanwhile: it would write afterwards what it has read before.
    2. The rows of current state are locked. A flush locks them too, after its COPY. Either it has
       committed before, and step 3 sees its readings; or it commits after this transaction, and
       the device begins anew with them. No reading is removed unseen.
    3. Late readings, which do not show in current state, are looked for in history.

    The readings that go are not noted for the rollups, because these go too.
    """
    async with connection.transaction():
        await connection.execute(
            "SELECT pg_advisory_xact_lock(%s), set_config('wattline.removes_devices', 'on', true)",
            [locks.ROLLED_UP],
        )
        cursor = await connection.execute(
            silent.statement("claim_silent_devices"), silent.parameters() | {"limit": most}
        )
        claimed = [device for (device,) in await cursor.fetchall()]
        if not claimed:
            return Removed(), None
        cursor = await connection.execute(silent.statement("measure_devices"), {"devices": claimed})
        measures = {device: (count, last) for device, count, last in await cursor.fetchall()}
        readings, heard, chosen, looked_at = 0, 0, [], claimed[0]
        for device in claimed:
            count, last = measures.get(device, (0, None))
            if readings and readings + count > MOST_READINGS:
                break
            looked_at = device
            if last is not None and last >= silent.heard_before:
                heard += 1
                continue
            chosen.append(device)
            readings += count
        await connection.execute(
            silent.statement("remove_devices"), {"devices": chosen, "stream": silent.stream.name}
        )
    return Removed(len(chosen), readings, heard), looked_at
