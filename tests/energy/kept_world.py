"""Worlds that come to PostgreSQL bit by bit, in any order, and are rolled up meanwhile."""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import NamedTuple

from psycopg import AsyncConnection
from psycopg.rows import DictRow, dict_row

from energy.fleet import Charge
from energy.status import Status
from energy.stored.fleet import read_fleet
from energy.stored.rolling_up import complete_days, roll_up
from energy.stored.times import as_datetime
from runtime.postgres.arrays import load_arrays
from telemetry.streams import METER, VEHICLE, Stream
from tests.energy.pure import ask
from tests.energy.slow_world import HOUR, KWH, MINUTE, Device, Reading, Stay, World
from tests.energy.stored_world import (
    ASSIGNMENTS,
    SESSIONS,
    put_devices,
    put_readings,
    put_stay,
)
from tests.energy.table import CAR, INTERVAL, REGISTER, T0
from tests.energy.table import METER as METER_ID

LATER = T0 + 10_000 * HOUR
FIRST = T0 - 3 * HOUR
DAYS = (FIRST, T0 + 40 * HOUR)

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


def fleet_after(
    url: str, world: World, steps: Iterable[Step], window: tuple[int, int], as_of: int
) -> list[Charge]:
    """Let the entries of a world come, and return how well each vehicle was charged."""

    async def ask() -> list[Charge]:
        async with await _connect(url) as connection:
            await _empty(connection)
            await put_devices(connection, world)
            for car in world.vehicles:
                await connection.execute(
                    "INSERT INTO vehicle_current_state VALUES (%s, now(), 50, 1, 20, now())",
                    [car.name],
                )
            for stay in world.assignments:
                await put_stay(connection, ASSIGNMENTS, stay)
            for step in steps:
                if isinstance(step, RollUp):
                    await roll_up(connection, as_datetime(step.as_of), notes=step.notes)
                else:
                    await _enter(connection, step)
            return await _fleet(connection, window, as_of)

    return asyncio.run(ask())


def fleet_now(url: str, window: tuple[int, int], as_of: int, *, anew: bool = False) -> list[Charge]:
    """Return how well each vehicle was charged, from what is there.

    `anew`: after the notes are worked off.
    """

    async def ask() -> list[Charge]:
        async with await _connect(url) as connection:
            if anew:
                await roll_up(connection, as_datetime(as_of), notes=1000)
            return await _fleet(connection, window, as_of)

    return asyncio.run(ask())


def complete(url: str, first: int, as_of: int) -> None:
    """Complete the days from a time on."""

    async def work() -> None:
        async with await _connect(url) as connection:
            done: bool | None = False
            while not done:
                done = await complete_days(
                    connection, as_datetime(as_of), first=as_datetime(first).date()
                )

    asyncio.run(work())


async def _connect(url: str) -> AsyncConnection[DictRow]:
    connection = await AsyncConnection.connect(url, row_factory=dict_row, autocommit=True)
    load_arrays(connection)
    return connection


async def _fleet(
    connection: AsyncConnection[DictRow], window: tuple[int, int], as_of: int
) -> list[Charge]:
    start, end = map(as_datetime, window)
    async with connection.transaction():
        return await read_fleet(connection, start, end, as_datetime(as_of))


async def _empty(connection: AsyncConnection[DictRow]) -> None:
    await connection.execute(
        "TRUNCATE meter_history, vehicle_history, device_facts, vehicle_meter_assignment,"
        " charging_session, rollup_due, vehicle_due, vehicle_day, vehicle_day_done,"
        " vehicle_current_state"
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


def right(world: World, window: tuple[int, int], as_of: int) -> list[Charge]:
    """Return the answer from readings alone."""
    start, end = window
    found = []
    for name, said in sorted(ask(replace(world, as_of=as_of), *window).items()):
        known_ac, known_dc = said.known
        found.append(
            Charge(
                name,
                Status(said.status),
                _total(said.ac, known_ac),
                _total(said.dc, known_dc),
                known_dc / (end - start),
                known_ac / max(said.asked[0], 1),
            )
        )
    return found


def _total(hours: list[int | None], known_us: int) -> int | None:
    told = [hour for hour in hours if hour is not None]
    return sum(told) if told or known_us else None


def each(minutes: Iterable[int], value: Callable[[int], int]) -> tuple[Reading, ...]:
    return tuple(Reading(T0 + minute * MINUTE, value(minute)) for minute in minutes)


def counting(minutes: Iterable[int]) -> World:
    """A register and a car that are read at some minutes, 7.2 kW and 6.48 kW."""
    minutes = list(minutes)
    return World(
        (Device(METER_ID, (REGISTER,), each(minutes, lambda i: 500 * KWH + i * KWH * 12 // 100)),),
        (Device(CAR, (INTERVAL,), each(minutes, lambda _: KWH * 108 // 1000)),),
        assignments=(Stay(METER_ID, CAR, T0 - 10 * HOUR),),
    )
