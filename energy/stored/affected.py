"""Reads which vehicles notes concern, and from which hour on."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from energy.device import Kind
from energy.stored.asked import Asked
from energy.stored.devices import read_devices
from energy.stored.histories import Connection
from energy.stored.readings import ON_US
from energy.stored.statements import by_stream, statement
from energy.stored.times import EARLIEST_US, as_datetime, as_us
from energy.units import HOUR_US
from telemetry.streams import METER, VEHICLE, Stream

_LAST_BEFORE = by_stream("last_before")


class Note(NamedTuple):
    """What a device has sent, or is, changed after the begin of an hour (hours since 1970)."""

    stream: str
    device_id: str
    hour: int


async def read_notes(connection: Connection) -> list[Note]:
    """Return the first note of each device; raises psycopg.Error."""
    cursor = await connection.execute(statement("notes"))
    return [Note(row["stream"], row["device_id"], row["hour"]) async for row in cursor]


async def read_affected(connection: Connection, notes: Sequence[Note]) -> dict[str, int]:
    """Return the vehicles concerned, and after which whole hour each is (µs since 1970).

    Their energy until then is what it was. Raises psycopg.Error.
    """
    affected: dict[str, int] = {}
    for stream in (METER, VEHICLE):
        hours: dict[str, int] = {}
        for note in notes:
            if note.stream == stream.name:
                hours[note.device_id] = min(note.hour, hours.get(note.device_id, note.hour))
        since = await _affected_since(connection, stream, hours)
        rows = list(since.items())
        if stream is METER:
            rows = await _vehicles_of(connection, since)
        for vehicle, time in rows:
            affected[vehicle] = min(time, affected.get(vehicle, time))
    return affected


async def _affected_since(
    connection: Connection, stream: Stream, hours: Mapping[str, int]
) -> dict[str, int]:
    """Return after which hour the readings of each device may be worth something else.

    A reading decides what those of the hour before it are worth. Such a one's time begins at the
    reading before, of a register, and else an interval before it.
    """
    if not hours:
        return {}
    ids = list(hours)
    devices = await read_devices(connection, stream, ids)
    decided = [hours[one] * HOUR_US - ON_US for one in ids]
    cursor = await connection.execute(
        _LAST_BEFORE[stream], {"devices": ids, "until": [as_datetime(time) for time in decided]}
    )
    found: dict[str, int] = {}
    for device_id, device, time, row in zip(
        ids, devices, decided, await cursor.fetchall(), strict=True
    ):
        since = time - Asked(device_id, device, time, time).longest_interval_us
        counts = any(dated.facts.kind is Kind.REGISTER for dated in device.dated)
        if counts and row["at"] is not None:
            since = min(since, as_us(row["at"]))
        since = max(since, EARLIEST_US)
        found[device_id] = since - since % HOUR_US
    return found


async def _vehicles_of(connection: Connection, meters: Mapping[str, int]) -> list[tuple[str, int]]:
    if not meters:
        return []
    since = list(meters.values())
    cursor = await connection.execute(
        statement("vehicles_of_meters"),
        {"meters": list(meters), "starts": [as_datetime(time) for time in since]},
    )
    return [(row["vehicle_id"], since[row["place"]]) async for row in cursor]
