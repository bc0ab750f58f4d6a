"""Current state and history, as the readings were sent."""

from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query
from psycopg.rows import DictRow
from pydantic import AliasChoices

from api.models import MeterState, StoredMeterReading, StoredVehicleReading, VehicleState
from api.pagination import After, Limit, Page, page_of, read_cursor
from api.parts import Parts, TheParts
from api.problems import Problem, describe_problems
from api.queries.statements import statement
from api.queries.windows import instant, window
from api.times import format_time
from telemetry.readings import DEVICE_ID

router = APIRouter(prefix="/v1/telemetry", tags=["state"])

Device = Annotated[str, Path(pattern=f"^{DEVICE_ID}$", max_length=64)]
# Systems that this one follows have other names for the ends of a window.
Start = Annotated[
    str | None,
    Query(
        validation_alias=AliasChoices("start", "startTime", "from"),
        max_length=64,
        description="RFC 3339; by default 24 hours before the end; or `startTime`, or `from`",
    ),
]
End = Annotated[
    str | None,
    Query(
        validation_alias=AliasChoices("end", "endTime", "to"),
        max_length=64,
        description="RFC 3339; by default now; or `endTime`, or `to`",
    ),
]
_ONE: dict[str, Any] = {"responses": describe_problems(401, 404, 422, 429, 503)}
_MANY: dict[str, Any] = {"responses": describe_problems(401, 422, 429, 503)}


@router.get("/meters/current", **_MANY)
async def current_meters(
    parts: TheParts, limit: Limit = 100, after: After = None
) -> Page[MeterState]:
    """The newest reading of every meter, in order of their ids."""
    return page_of(
        await _rows(parts, "current_meters", limit, after=_last_id(after)),
        limit,
        lambda row: MeterState.model_construct(**row),
        lambda row: [row["meter_id"]],
    )


@router.get("/vehicles/current", **_MANY)
async def current_vehicles(
    parts: TheParts, limit: Limit = 100, after: After = None
) -> Page[VehicleState]:
    """The newest reading of every vehicle, in order of their ids."""
    return page_of(
        await _rows(parts, "current_vehicles", limit, after=_last_id(after)),
        limit,
        lambda row: VehicleState.model_construct(**row),
        lambda row: [row["vehicle_id"]],
    )


@router.get("/meter/{meter_id}/current", **_ONE)
async def current_meter(parts: TheParts, meter_id: Device) -> MeterState:
    """A meter's newest reading, by its own time."""
    return MeterState.model_construct(**await _current(parts, "meter", meter_id))


@router.get("/vehicle/{vehicle_id}/current", **_ONE)
async def current_vehicle(parts: TheParts, vehicle_id: Device) -> VehicleState:
    """A vehicle's newest reading, by its own time."""
    return VehicleState.model_construct(**await _current(parts, "vehicle", vehicle_id))


@router.get("/meter/{meter_id}/history", **_ONE)
async def meter_history(
    parts: TheParts,
    meter_id: Device,
    *,
    start: Start = None,
    end: End = None,
    limit: Limit = 100,
    after: After = None,
) -> Page[StoredMeterReading]:
    """A meter's readings in a window, in the order of their times."""
    return page_of(
        await _history(parts, "meter", meter_id, start=start, end=end, limit=limit, after=after),
        limit,
        lambda row: StoredMeterReading.model_construct(**row),
        lambda row: [format_time(row["timestamp"])],
    )


@router.get("/vehicle/{vehicle_id}/history", **_ONE)
async def vehicle_history(
    parts: TheParts,
    vehicle_id: Device,
    *,
    start: Start = None,
    end: End = None,
    limit: Limit = 100,
    after: After = None,
) -> Page[StoredVehicleReading]:
    """A vehicle's readings in a window, in the order of their times."""
    return page_of(
        await _history(
            parts, "vehicle", vehicle_id, start=start, end=end, limit=limit, after=after
        ),
        limit,
        lambda row: StoredVehicleReading.model_construct(**row),
        lambda row: [format_time(row["timestamp"])],
    )


async def _current(parts: Parts, kind: str, device_id: str) -> DictRow:
    async with parts.database.lookup() as connection:
        cursor = await connection.execute(statement(f"current_{kind}"), {"device_id": device_id})
        row = await cursor.fetchone()
    if row is None:
        raise Problem(404, f"no {kind} {device_id} has been heard of")
    return row


async def _history(
    parts: Parts,
    kind: str,
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
    rows = await _rows(
        parts, f"history_{kind}", limit, device_id=device_id, after=begin, end=asked.end
    )
    if not rows:
        await _current(parts, kind, device_id)  # nothing in the window, or no such device?
    return rows


async def _rows(parts: Parts, name: str, limit: int, **parameters: object) -> list[DictRow]:
    async with parts.database.read() as connection:
        cursor = await connection.execute(statement(name), {"limit": limit + 1, **parameters})
        return await cursor.fetchall()


def _last_id(after: str | None) -> str:
    last = read_cursor(after, str)
    return "" if last is None else str(last[0])
