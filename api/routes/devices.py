"""What the devices are: registered, listed, changed."""

from typing import Annotated

from fastapi import APIRouter, Body
from psycopg.rows import DictRow
from pydantic import BaseModel

from api.models.devices import Meter, MeterChange, NewMeter, NewVehicle, Vehicle, VehicleChange
from api.models.readings import MeterState, VehicleState
from api.pagination import After, Limit, Page, page_of, read_id
from api.parameters import DevicePath
from api.parts import Parts, TheParts
from api.problems import Problem
from api.queries.devices import insert_device, select_device, select_devices, update_device
from api.routes.answers import MANY, NEW, ONE
from api.routes.json_body import JsonRoute
from api.routes.state import current_meter, current_vehicle
from telemetry.streams import METER, VEHICLE, Stream

router = APIRouter(route_class=JsonRoute, prefix="/v1/devices", tags=["devices"])

# The columns that are NOT NULL.
_REQUIRED = ("reading_kind", "reading_interval_seconds")


@router.post("/meters", **NEW)
async def register_meter(parts: TheParts, meter: Annotated[NewMeter, Body()]) -> Meter:
    """Register a meter. A meter that only sends readings need not be registered."""
    return Meter.model_validate(await _insert(parts, METER, meter.meter_id, meter))


@router.get("/meters", **MANY)
async def list_meters(parts: TheParts, limit: Limit = 100, after: After = None) -> Page[Meter]:
    """The registered meters, in order of their ids."""
    rows = await _list(parts, METER, limit, after)
    return page_of(rows, limit, Meter.model_validate, lambda row: [row["meter_id"]])


@router.get("/meters/{meter_id}", **ONE)
async def show_meter(parts: TheParts, meter_id: DevicePath) -> Meter:
    """A registered meter."""
    return Meter.model_validate(await _select(parts, METER, meter_id))


@router.patch("/meters/{meter_id}", **ONE)
async def change_meter(
    parts: TheParts, meter_id: DevicePath, change: Annotated[MeterChange, Body()]
) -> Meter:
    """Change the fields that are sent; null clears one. This applies to past readings too."""
    return Meter.model_validate(await _update(parts, METER, meter_id, change))


@router.get("/meters/{meter_id}/state", **ONE)
async def meter_state(parts: TheParts, meter_id: DevicePath) -> MeterState:
    """The meter's newest reading."""
    return await current_meter(parts, meter_id)


@router.post("/vehicles", **NEW)
async def register_vehicle(parts: TheParts, vehicle: Annotated[NewVehicle, Body()]) -> Vehicle:
    """Register a vehicle. A vehicle that only sends readings need not be registered."""
    return Vehicle.model_validate(await _insert(parts, VEHICLE, vehicle.vehicle_id, vehicle))


@router.get("/vehicles", **MANY)
async def list_vehicles(parts: TheParts, limit: Limit = 100, after: After = None) -> Page[Vehicle]:
    """The registered vehicles, in order of their ids."""
    rows = await _list(parts, VEHICLE, limit, after)
    return page_of(rows, limit, Vehicle.model_validate, lambda row: [row["vehicle_id"]])


@router.get("/vehicles/{vehicle_id}", **ONE)
async def show_vehicle(parts: TheParts, vehicle_id: DevicePath) -> Vehicle:
    """A registered vehicle."""
    return Vehicle.model_validate(await _select(parts, VEHICLE, vehicle_id))


@router.patch("/vehicles/{vehicle_id}", **ONE)
async def change_vehicle(
    parts: TheParts, vehicle_id: DevicePath, change: Annotated[VehicleChange, Body()]
) -> Vehicle:
    """Change the fields that are sent; null clears one. This applies to past readings too."""
    return Vehicle.model_validate(await _update(parts, VEHICLE, vehicle_id, change))


@router.get("/vehicles/{vehicle_id}/state", **ONE)
async def vehicle_state(parts: TheParts, vehicle_id: DevicePath) -> VehicleState:
    """The vehicle's newest reading."""
    return await current_vehicle(parts, vehicle_id)


async def _insert(parts: Parts, stream: Stream, device_id: str, device: BaseModel) -> DictRow:
    async with parts.database.write() as connection:
        row = await insert_device(connection, stream, device_id, device.model_dump())
    if row is None:
        detail = f"{stream.name} {device_id} is registered already"
        raise Problem(409, detail, field=stream.id_field)
    return row


async def _list(parts: Parts, stream: Stream, limit: int, after: str | None) -> list[DictRow]:
    last_id = read_id(after)
    async with parts.database.read() as connection:
        return await select_devices(connection, stream, after=last_id, limit=limit + 1)


async def _select(parts: Parts, stream: Stream, device_id: str) -> DictRow:
    async with parts.database.lookup() as connection:
        row = await select_device(connection, stream, device_id)
    return _registered(row, stream, device_id)


async def _update(parts: Parts, stream: Stream, device_id: str, change: BaseModel) -> DictRow:
    changes = change.model_dump(exclude_unset=True)
    for name in _REQUIRED:
        if name in changes and changes[name] is None:
            field = type(change).model_fields[name].alias or name
            raise Problem(422, f"{field}: cannot be null", field=field)
    async with parts.database.write() as connection:
        row = await update_device(connection, stream, device_id, changes)
    return _registered(row, stream, device_id)


def _registered(row: DictRow | None, stream: Stream, device_id: str) -> DictRow:
    if row is None:
        raise Problem(404, f"{stream.name} {device_id} is not registered")
    return row
