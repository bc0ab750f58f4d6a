"""What the devices are: registered, listed, changed."""

from typing import Annotated, Any

from fastapi import APIRouter, Body, Path
from psycopg.rows import DictRow
from psycopg.types.json import Jsonb
from pydantic import BaseModel

from api.json_body import JsonRoute
from api.models import (
    Meter,
    MeterChange,
    MeterState,
    NewMeter,
    NewVehicle,
    Vehicle,
    VehicleChange,
    VehicleState,
)
from api.pagination import After, Limit, Page, page_of, read_cursor
from api.parts import Parts, TheParts
from api.problems import Problem, describe_problems
from api.queries.statements import statement
from api.routes.state import current_meter, current_vehicle
from telemetry.readings import DEVICE_ID

router = APIRouter(route_class=JsonRoute, prefix="/v1/devices", tags=["devices"])

Device = Annotated[str, Path(pattern=f"^{DEVICE_ID}$", max_length=64)]
_NEW: dict[str, Any] = {"status_code": 201, "responses": describe_problems(401, 409, 422, 429, 503)}
_ONE: dict[str, Any] = {"responses": describe_problems(401, 404, 422, 429, 503)}
_MANY: dict[str, Any] = {"responses": describe_problems(401, 422, 429, 503)}
# What a device cannot be without.
_NEEDED = ("reading_kind", "reading_interval_seconds")


@router.post("/meters", **_NEW)
async def register_meter(parts: TheParts, meter: Annotated[NewMeter, Body()]) -> Meter:
    """Say what a meter is; one that only sends readings works without."""
    return Meter.model_validate(await _insert(parts, "meter", meter.meter_id, meter))


@router.get("/meters", **_MANY)
async def list_meters(parts: TheParts, limit: Limit = 100, after: After = None) -> Page[Meter]:
    """The registered meters, in order of their ids."""
    rows = await _list(parts, "meter", limit, after)
    return page_of(rows, limit, Meter.model_validate, lambda row: [row["meter_id"]])


@router.get("/meters/{meter_id}", **_ONE)
async def show_meter(parts: TheParts, meter_id: Device) -> Meter:
    """A registered meter."""
    return Meter.model_validate(await _select(parts, "meter", meter_id))


@router.patch("/meters/{meter_id}", **_ONE)
async def change_meter(
    parts: TheParts, meter_id: Device, change: Annotated[MeterChange, Body()]
) -> Meter:
    """Change what is sent of a meter; null clears it. It holds for readings of the past too."""
    return Meter.model_validate(await _update(parts, "meter", meter_id, change))


@router.get("/meters/{meter_id}/state", **_ONE)
async def meter_state(parts: TheParts, meter_id: Device) -> MeterState:
    """The meter's newest reading."""
    return await current_meter(parts, meter_id)


@router.post("/vehicles", **_NEW)
async def register_vehicle(parts: TheParts, vehicle: Annotated[NewVehicle, Body()]) -> Vehicle:
    """Say what a vehicle is; one that only sends readings works without."""
    return Vehicle.model_validate(await _insert(parts, "vehicle", vehicle.vehicle_id, vehicle))


@router.get("/vehicles", **_MANY)
async def list_vehicles(parts: TheParts, limit: Limit = 100, after: After = None) -> Page[Vehicle]:
    """The registered vehicles, in order of their ids."""
    rows = await _list(parts, "vehicle", limit, after)
    return page_of(rows, limit, Vehicle.model_validate, lambda row: [row["vehicle_id"]])


@router.get("/vehicles/{vehicle_id}", **_ONE)
async def show_vehicle(parts: TheParts, vehicle_id: Device) -> Vehicle:
    """A registered vehicle."""
    return Vehicle.model_validate(await _select(parts, "vehicle", vehicle_id))


@router.patch("/vehicles/{vehicle_id}", **_ONE)
async def change_vehicle(
    parts: TheParts, vehicle_id: Device, change: Annotated[VehicleChange, Body()]
) -> Vehicle:
    """Change what is sent of a vehicle; null clears it. It holds for readings of the past too."""
    return Vehicle.model_validate(await _update(parts, "vehicle", vehicle_id, change))


@router.get("/vehicles/{vehicle_id}/state", **_ONE)
async def vehicle_state(parts: TheParts, vehicle_id: Device) -> VehicleState:
    """The vehicle's newest reading."""
    return await current_vehicle(parts, vehicle_id)


async def _insert(parts: Parts, kind: str, device_id: str, device: BaseModel) -> DictRow:
    async with parts.database.write() as connection:
        cursor = await connection.execute(statement(f"insert_{kind}"), device.model_dump())
        row = await cursor.fetchone()
    if row is None:
        raise Problem(409, f"{kind} {device_id} is registered already", field=f"{kind}Id")
    return row


async def _list(parts: Parts, kind: str, limit: int, after: str | None) -> list[DictRow]:
    last = read_cursor(after, str)
    parameters = {"after": "" if last is None else last[0], "limit": limit + 1}
    async with parts.database.read() as connection:
        cursor = await connection.execute(statement(f"list_{kind}s"), parameters)
        return await cursor.fetchall()


async def _select(parts: Parts, kind: str, device_id: str) -> DictRow:
    async with parts.database.lookup() as connection:
        cursor = await connection.execute(statement(f"select_{kind}"), {"device_id": device_id})
        row = await cursor.fetchone()
    return _known(row, kind, device_id)


async def _update(parts: Parts, kind: str, device_id: str, change: BaseModel) -> DictRow:
    changes = change.model_dump(exclude_unset=True)
    for name in _NEEDED:
        if name in changes and changes[name] is None:
            field = type(change).model_fields[name].alias or name
            raise Problem(422, f"{field}: cannot be null", field=field)
    parameters = {"device_id": device_id, "changes": Jsonb(changes)}
    async with parts.database.write() as connection:
        cursor = await connection.execute(statement(f"update_{kind}"), parameters)
        row = await cursor.fetchone()
    return _known(row, kind, device_id)


def _known(row: DictRow | None, kind: str, device_id: str) -> DictRow:
    if row is None:
        raise Problem(404, f"{kind} {device_id} is not registered")
    return row
