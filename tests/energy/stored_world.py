"""Worlds of the slow reference, put into PostgreSQL and asked about there."""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import LiteralString

import psycopg
from psycopg import AsyncConnection
from psycopg.rows import DictRow, dict_row

from energy.stored.times import as_datetime
from energy.stored.vehicles import read_charging
from runtime.postgres.arrays import load_arrays
from telemetry.streams import METER, VEHICLE, Stream
from tests.energy.pure import Said, said_of
from tests.energy.slow_world import EVER, KWH, SECOND, Device, Facts, Reading, Stay, World

# Nothing that a world asks about lies outside.
FIRST, LAST = "2026-04-01Z", "2026-11-15Z"
ASSIGNMENTS: LiteralString = "vehicle_meter_assignment"
SESSIONS: LiteralString = "charging_session"
_HISTORY = {
    METER: "COPY meter_history (meter_id, recorded_at, kwh_consumed_ac, voltage) FROM STDIN",
    VEHICLE: "COPY vehicle_history (vehicle_id, recorded_at, soc, kwh_delivered_dc, battery_temp)"
    " FROM STDIN",
}


def make_days(url: str) -> None:
    """Give history a partition that holds all worlds."""
    with psycopg.connect(url) as connection:
        for stream in (METER, VEHICLE):
            connection.execute(
                f"CREATE TABLE IF NOT EXISTS {stream.history}_worlds PARTITION OF {stream.history}"
                f" FOR VALUES FROM ('{FIRST}') TO ('{LAST}')"
            )


def ask_stored(
    url: str, world: World, start: int, end: int, vehicles: Sequence[str] | None = None
) -> dict[str, Said]:
    """Ask for vehicles at once, all of them by default; nothing of the world stays."""
    names = [car.name for car in world.vehicles] if vehicles is None else list(vehicles)

    async def ask() -> dict[str, Said]:
        async with await AsyncConnection.connect(url, row_factory=dict_row) as connection:
            load_arrays(connection)
            await put_devices(connection, world)
            for stream, devices in ((METER, world.meters), (VEHICLE, world.vehicles)):
                rows = [(one.name, reading) for one in devices for reading in one.readings]
                await put_readings(connection, stream, rows)
            for stay in world.assignments:
                await put_stay(connection, ASSIGNMENTS, stay)
            for stay in world.sessions:
                await put_stay(connection, SESSIONS, stay)
            as_of = as_datetime(min(world.as_of, end + 10_000 * 3_600 * SECOND))
            charging = await read_charging(
                connection, names, as_datetime(start), as_datetime(end), as_of
            )
            await connection.rollback()
        return {name: said_of(charging.performance, place) for place, name in enumerate(names)}

    return asyncio.run(ask())


def storable(world: World) -> World:
    """Return the world without the bonds that PostgreSQL refuses because they overlap others."""
    return replace(
        world,
        assignments=_apart(world.assignments, "vehicle"),
        sessions=_apart(world.sessions, "vehicle", "meter"),
    )


def _apart(stays: Iterable[Stay], *ends: str) -> tuple[Stay, ...]:
    kept: list[Stay] = []
    for one in stays:
        if one.start < one.end and not any(
            getattr(one, end) == getattr(other, end)
            and one.start < other.end
            and other.start < one.end
            for other in kept
            for end in ends
        ):
            kept.append(one)
    return tuple(kept)


async def put_devices(connection: AsyncConnection[DictRow], world: World) -> None:
    """Insert what the devices are, and since when."""
    for stream, devices in ((METER, world.meters), (VEHICLE, world.vehicles)):
        for device in devices:
            for facts in device.facts:
                await connection.execute(
                    "INSERT INTO device_facts VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s)",
                    _facts(stream, device, facts),
                )


async def put_readings(
    connection: AsyncConnection[DictRow], stream: Stream, rows: Iterable[tuple[str, Reading]]
) -> None:
    """Insert readings of devices."""
    async with connection.cursor() as cursor, cursor.copy(_HISTORY[stream]) as copy:
        for name, reading in rows:
            await copy.write_row(_row(stream, name, reading.at, reading.value))


async def put_stay(connection: AsyncConnection[DictRow], table: LiteralString, stay: Stay) -> None:
    """Insert an assignment or a session."""
    await connection.execute(
        f"INSERT INTO {table} (vehicle_id, meter_id, started_at, ended_at) VALUES (%s, %s, %s, %s)",
        _stay(stay),
    )


def _row(stream: Stream, name: str, at: int, value: int) -> tuple[object, ...]:
    kwh = value / KWH
    if stream is METER:
        return name, as_datetime(at), kwh, 230.0
    return name, as_datetime(at), 50.0, kwh, 20.0


def _facts(stream: Stream, device: Device, facts: Facts) -> tuple[object, ...]:
    return (
        stream.name,
        device.name,
        "-infinity" if facts.since == -EVER else as_datetime(facts.since),
        "register" if facts.register else "interval",
        facts.interval / SECOND,
        None if facts.capacity_kw is None else float(facts.capacity_kw),
        None if facts.modulus is None else facts.modulus / KWH,
        facts.step / KWH,
        facts.only_while_charging,
    )


def _stay(stay: Stay) -> tuple[str, str, datetime, datetime | None]:
    end = None if stay.end == EVER else as_datetime(stay.end)
    return stay.vehicle, stay.meter, as_datetime(stay.start), end
