"""Worlds that come to PostgreSQL bit by bit, in any order, and are rolled up meanwhile."""

import asyncio
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from psycopg import AsyncConnection
from psycopg.rows import DictRow, dict_row

from energy.stored.rolling_up import roll_up
from energy.stored.sums import read_sums
from energy.stored.times import as_datetime
from runtime.postgres.arrays import load_arrays
from telemetry.streams import METER, VEHICLE, Stream
from tests.energy.slow_world import HOUR, Reading, Stay, World
from tests.energy.stored_world import (
    ASSIGNMENTS,
    SESSIONS,
    put_devices,
    put_readings,
    put_stay,
)

Entry = tuple[Stream, str, Reading] | Stay


class RollUp(NamedTuple):
    """The notes are worked off at a time (µs since 1970)."""

    as_of: int
    notes: int = 1000


Step = Sequence[Entry] | RollUp


def entries(world: World) -> list[Entry]:
    """Return the readings and sessions of a world: what comes."""
    return [
        *(
            (stream, device.name, reading)
            for stream, devices in ((METER, world.meters), (VEHICLE, world.vehicles))
            for device in devices
            for reading in device.readings
        ),
        *world.sessions,
    ]


def sums_after(
    url: str, world: World, steps: Iterable[Step], window: tuple[int, int], as_of: int
) -> list[tuple[int, int, int, int]]:
    """Let the entries of a world come, and return AC, DC and how long they are known by vehicle."""

    async def ask() -> list[tuple[int, int, int, int]]:
        async with await AsyncConnection.connect(
            url, row_factory=dict_row, autocommit=True
        ) as connection:
            load_arrays(connection)
            await _empty(connection)
            await put_devices(connection, world)
            for stay in world.assignments:
                await put_stay(connection, ASSIGNMENTS, stay)
            for step in steps:
                if isinstance(step, RollUp):
                    await roll_up(connection, step.notes, as_datetime(step.as_of))
                else:
                    await _enter(connection, step)
            return await _sums(connection, world, window, as_of)

    return asyncio.run(ask())


def kept_sums(
    url: str, world: World, window: tuple[int, int], as_of: int, *, anew: bool = False
) -> list[tuple[int, int, int, int]]:
    """Return the same from what is there; `anew`: after the notes are worked off."""

    async def ask() -> list[tuple[int, int, int, int]]:
        async with await AsyncConnection.connect(
            url, row_factory=dict_row, autocommit=True
        ) as connection:
            load_arrays(connection)
            if anew:
                await roll_up(connection, 1000, as_datetime(as_of))
            return await _sums(connection, world, window, as_of)

    return asyncio.run(ask())


async def _sums(
    connection: AsyncConnection[DictRow], world: World, window: tuple[int, int], as_of: int
) -> list[tuple[int, int, int, int]]:
    names = [car.name for car in world.vehicles]
    start, end = map(as_datetime, window)
    async with connection.transaction():
        sums = await read_sums(connection, names, start, end, as_datetime(as_of))
    columns = (sums.ac, sums.dc, sums.ac_known_us, sums.dc_known_us)
    return list(zip(*(column.tolist() for column in columns), strict=True))


async def _empty(connection: AsyncConnection[DictRow]) -> None:
    await connection.execute(
        "TRUNCATE meter_history, vehicle_history, device_facts, vehicle_meter_assignment,"
        " charging_session, rollup_due, vehicle_day"
    )


async def _enter(connection: AsyncConnection[DictRow], step: Sequence[Entry]) -> None:
    """Insert entries in a transaction, and note the readings as a flush does."""
    noted: list[tuple[str, str, int]] = []
    readings: dict[Stream, list[tuple[str, Reading]]] = {METER: [], VEHICLE: []}
    async with connection.transaction():
        for entry in step:
            if isinstance(entry, Stay):
                await put_stay(connection, SESSIONS, entry)
            else:
                stream, name, reading = entry
                readings[stream].append((name, reading))
                noted.append((stream.name, name, (reading.at - 1) // HOUR))
        for stream, rows in readings.items():
            await put_readings(connection, stream, rows)
            pairs = {(name, hour) for of, name, hour in noted if of == stream.name}
            if pairs:
                await connection.execute(
                    "INSERT INTO rollup_due (stream, devices, hours) VALUES (%s, %s, %s)",
                    [stream.name, [name for name, _ in pairs], [hour for _, hour in pairs]],
                )
