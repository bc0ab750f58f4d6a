"""Current state and history of devices."""

from datetime import UTC, datetime

from fastapi import APIRouter
from psycopg.rows import DictRow

from api.models.readings import MeterState, StoredMeterReading, StoredVehicleReading, VehicleState
from api.pagination import After, Limit, Page, page_of, read_cursor, read_id
from api.parameters import DevicePath, End, Start
from api.parts import Parts, TheParts
from api.problems import Problem
from api.queries.current_state import current_state, current_states
from api.queries.history import history
from api.queries.windows import instant, window
from api.routes.answers import MANY, ONE
from api.times import format_time
from telemetry.streams import METER, VEHICLE, Stream

router = APIRouter(prefix="/v1/telemetry", tags=["state"])


@router.get("/meters/current", **MANY)
async def current_meters(
    parts: TheParts, limit: Limit = 100, after: After = None
) -> Page[MeterState]:
    """The newest reading of every meter, in order of their ids."""
    return page_of(
        await _states(parts, METER, limit, after),
        limit,
        lambda row: MeterState.model_construct(**row),
        lambda row: [row["meter_id"]],
    )


@router.get("/vehicles/current", **MANY)
async def current_vehicles(
    parts: TheParts, limit: Limit = 100, after: After = None
) -> Page[VehicleState]:
    """The newest reading of every vehicle, in order of their ids."""
    return page_of(
        await _states(parts, VEHICLE, limit, after),
        limit,
        lambda row: VehicleState.model_construct(**row),
        lambda row: [row["vehicle_id"]],
    )


@router.get("/meter/{meter_id}/current", **ONE)
async def current_meter(parts: TheParts, meter_id: DevicePath) -> MeterState:
    """A meter's newest reading, by its own time."""
    return MeterState.model_construct(**await _state(parts, METER, meter_id))


@router.get("/vehicle/{vehicle_id}/current", **ONE)
async def current_vehicle(parts: TheParts, vehicle_id: DevicePath) -> VehicleState:
    """A vehicle's newest reading, by its own time."""
    return VehicleState.model_construct(**await _state(parts, VEHICLE, vehicle_id))


@router.get("/meter/{meter_id}/history", **ONE)
async def meter_history(
    parts: TheParts,
    meter_id: DevicePath,
    *,
    start: Start = None,
    end: End = None,
    limit: Limit = 100,
    after: After = None,
) -> Page[StoredMeterReading]:
    """A meter's readings in a window, in the order of their times."""
    return page_of(
        await _history(parts, METER, meter_id, start=start, end=end, limit=limit, after=after),
        limit,
        lambda row: StoredMeterReading.model_construct(**row),
        lambda row: [format_time(row["timestamp"])],
    )


@router.get("/vehicle/{vehicle_id}/history", **ONE)
async def vehicle_history(
    parts: TheParts,
    vehicle_id: DevicePath,
    *,
    start: Start = None,
    end: End = None,
    limit: Limit = 100,
    after: After = None,
) -> Page[StoredVehicleReading]:
    """A vehicle's readings in a window, in the order of their times."""
    return page_of(
        await _history(parts, VEHICLE, vehicle_id, start=start, end=end, limit=limit, after=after),
        limit,
        lambda row: StoredVehicleReading.model_construct(**row),
        lambda row: [format_time(row["timestamp"])],
    )


async def _states(parts: Parts, stream: Stream, limit: int, after: str | None) -> list[DictRow]:
    last_id = read_id(after)
    async with parts.database.read() as connection:
        return await current_states(connection, stream, after=last_id, limit=limit + 1)


async def _state(parts: Parts, stream: Stream, device_id: str) -> DictRow:
    async with parts.database.lookup() as connection:
        row = await current_state(connection, stream, device_id)
    if row is None:
        raise Problem(404, f"{stream.name} {device_id} is not known")
    return row


async def _history(
    parts: Parts,
    stream: Stream,
    device_id: str,
    *,
    start: str | None,
    end: str | None,
    limit: int,
    after: str | None,
) -> list[DictRow]:
    now = datetime.now(UTC)
    asked = window(start, end, now=now, longest=None)
    last = read_cursor(after, str)
    begin = asked.start if last is None else max(asked.start, instant(str(last[0]), "after", now))
    async with parts.database.read() as connection:
        rows = await history(
            connection, stream, device_id, after=begin, end=asked.end, limit=limit + 1
        )
    if not rows:
        await _state(parts, stream, device_id)  # raises Problem if the device is not known
    return rows
