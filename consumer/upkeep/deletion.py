"""Readings of a device are counted and deleted from history, for operators."""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime

from psycopg import sql
from psycopg.rows import class_row

from consumer.postgres.connection import Connection
from consumer.postgres.statements import statement
from telemetry.streams import Stream


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """The readings of one device with start < recorded_at <= end."""

    stream: Stream
    device: str
    start: datetime
    end: datetime

    def parameters(self) -> dict[str, object]:
        return {"device": self.device, "start": self.start, "end": self.end}

    def statement(self, name: str) -> sql.Composed:
        """Return the named statement, about the device's stream."""
        return sql.SQL(statement(name)).format(
            id=sql.Identifier(self.stream.id_column),
            energy=sql.Identifier(self.stream.measures[self._energy]),
            measures=sql.SQL(", ").join(map(sql.Identifier, self.stream.measures)),
            history=sql.Identifier(self.stream.history),
            current_state=sql.Identifier(self.stream.current_state),
            registry=sql.Identifier(self.stream.registry),
        )

    @property
    def _energy(self) -> int:
        return self.stream.fields.index(self.stream.energy_field)


@dataclass(frozen=True, slots=True)
class DayReadings:
    """What is stored of a window on one UTC day; `lowest` and `highest` are energies in kWh."""

    day: date
    readings: int
    first: datetime
    last: datetime
    lowest: float
    highest: float


async def is_known(connection: Connection, window: Window) -> bool:
    """Return whether the device is registered, or a reading of it is stored."""
    cursor = await connection.execute(window.statement("is_known_device"), window.parameters())
    return await cursor.fetchone() == (True,)


async def count_readings(connection: Connection, window: Window) -> list[DayReadings]:
    """Return what would be deleted, day by day; days without readings are left out."""
    async with connection.cursor(row_factory=class_row(DayReadings)) as cursor:
        await cursor.execute(window.statement("count_readings"), window.parameters())
        return await cursor.fetchall()


async def delete_readings(
    connection: Connection,
    window: Window,
    days: Sequence[date],
    *,
    stopping: asyncio.Event,
    on_day: Callable[[int], None],
) -> None:
    """Delete the readings of these days, a transaction each, and tell `on_day` how many went.

    It rests for as long as it works, so that roll-ups and flushes get a turn.
    """
    for day in days:
        if stopping.is_set():
            return
        begun = time.monotonic()
        on_day(await _delete_day(connection, window, day))
        await asyncio.sleep(time.monotonic() - begun)


async def _delete_day(connection: Connection, window: Window, day: date) -> int:
    """Delete one day's readings and return how many they were.

    A flush counts on current state: nothing newer is stored. So if the newest reading goes, the
    newest that is left takes its place. The row is locked first. A flush locks it too, after its
    COPY. Either it has committed before, and its readings are seen here; or it commits after this
    transaction, and compares its newest reading with what is left.
    """
    midnight = datetime(day.year, day.month, day.day, tzinfo=UTC)
    parameters = window.parameters() | {"midnight": midnight}
    async with connection.transaction():
        cursor = await connection.execute(window.statement("lock_current_state"), parameters)
        newest = await cursor.fetchone()
        cursor = await connection.execute(window.statement("delete_readings"), parameters)
        deleted = cursor.rowcount
        if deleted and newest and window.start < newest[0] <= window.end:
            await connection.execute(window.statement("restate_device"), parameters)
    return deleted
