"""What the devices are: registered, listed, changed, removed."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Body, Query
from psycopg.errors import UniqueViolation
from psycopg.rows import DictRow
from pydantic import BaseModel

from api.models.devices import (
    STEP_MISFIT,
    Meter,
    MeterChange,
    NewMeter,
    NewVehicle,
    Vehicle,
    VehicleChange,
    step_fits,
)
from api.models.readings import MeterState, VehicleState
from api.pagination import After, Limit, Page, page_of, read_id
from api.parameters import DevicePath
from api.parts import Parts, TheParts
from api.problems import Problem
from api.queries.devices import (
    delete_device,
    insert_devices,
    lock_device,
    select_device,
    select_devices,
    select_registered,
    update_device,
)
from api.queries.windows import CLOCKS_DIFFER, instant
from api.routes.answers import CHANGE, MANY, NEW, ONE, REMOVE
from api.routes.json_body import JsonRoute
from api.routes.state import current_meter, current_vehicle
from api.times import format_time
from telemetry.streams import METER, VEHICLE, Stream

router = APIRouter(route_class=JsonRoute, prefix="/v1/devices", tags=["devices"])

_REMOVE: dict[str, Any] = {"status_code": 204, **ONE}
# The columns that are NOT NULL.
_REQUIRED = (
    "reading_kind",
    "reading_interval_seconds",
    "register_step_kwh",
    "reports_only_while_charging",
)
# What energy depends on, and so holds from a time on.
_FACTS = {*_REQUIRED, "capacity_kw", "register_modulus_kwh"}

Filter = Annotated[
    str | None, Query(max_length=200, pattern="^[^\\x00]*$", description="only those with this one")
]


@router.post("/meters", **NEW)
async def register_meter(parts: TheParts, meter: Annotated[NewMeter, Body()]) -> Meter:
    """Register a meter. A meter that only sends readings need not be registered."""
    return Meter.model_validate(await _insert(parts, METER, meter.meter_id, meter))


@router.get("/meters", **MANY)
async def list_meters(
    parts: TheParts,
    *,
    site: Filter = None,
    label: Filter = None,
    limit: Limit = 100,
    after: After = None,
) -> Page[Meter]:
    """The registered meters, or those of a site or a label, in order of their ids."""
    rows = await _list(parts, METER, {"site": site, "label": label}, limit, after)
    return page_of(rows, limit, Meter.model_validate, lambda row: [row["meter_id"]])


@router.get("/meters/{meter_id}", **ONE)
async def show_meter(parts: TheParts, meter_id: DevicePath) -> Meter:
    """A registered meter."""
    return Meter.model_validate(await _select(parts, METER, meter_id))


@router.patch("/meters/{meter_id}", **CHANGE)
async def change_meter(
    parts: TheParts, meter_id: DevicePath, change: Annotated[MeterChange, Body()]
) -> Meter:
    """Change what is sent of a meter; null clears it.

    What energy depends on changes from `validFrom` on, by default from now on: readings before it
    are worth what they were. It must be later than that of the last change.
    """
    return Meter.model_validate(await _update(parts, METER, meter_id, change))


@router.delete("/meters/{meter_id}", **REMOVE)
async def remove_meter(parts: TheParts, meter_id: DevicePath) -> None:
    """Remove a meter from the registry. Its readings, assignments and sessions stay."""
    await _delete(parts, METER, meter_id)


@router.get("/meters/{meter_id}/state", **ONE)
async def meter_state(parts: TheParts, meter_id: DevicePath) -> MeterState:
    """The meter's newest reading."""
    return await current_meter(parts, meter_id)


@router.post("/vehicles", **NEW)
async def register_vehicle(parts: TheParts, vehicle: Annotated[NewVehicle, Body()]) -> Vehicle:
    """Register a vehicle. A vehicle that only sends readings need not be registered."""
    return Vehicle.model_validate(await _insert(parts, VEHICLE, vehicle.vehicle_id, vehicle))


@router.get("/vehicles", **MANY)
async def list_vehicles(
    parts: TheParts, *, label: Filter = None, limit: Limit = 100, after: After = None
) -> Page[Vehicle]:
    """The registered vehicles, or those of a label, in order of their ids."""
    rows = await _list(parts, VEHICLE, {"label": label}, limit, after)
    return page_of(rows, limit, Vehicle.model_validate, lambda row: [row["vehicle_id"]])


@router.get("/vehicles/{vehicle_id}", **ONE)
async def show_vehicle(parts: TheParts, vehicle_id: DevicePath) -> Vehicle:
    """A registered vehicle."""
    return Vehicle.model_validate(await _select(parts, VEHICLE, vehicle_id))


@router.patch("/vehicles/{vehicle_id}", **CHANGE)
async def change_vehicle(
    parts: TheParts, vehicle_id: DevicePath, change: Annotated[VehicleChange, Body()]
) -> Vehicle:
    """Change what is sent of a vehicle; null clears it.

    What energy depends on changes from `validFrom` on, by default from now on: readings before it
    are worth what they were. It must be later than that of the last change.
    """
    return Vehicle.model_validate(await _update(parts, VEHICLE, vehicle_id, change))


@router.delete("/vehicles/{vehicle_id}", **REMOVE)
async def remove_vehicle(parts: TheParts, vehicle_id: DevicePath) -> None:
    """Remove a vehicle from the registry. Its readings, assignments and sessions stay."""
    await _delete(parts, VEHICLE, vehicle_id)


@router.get("/vehicles/{vehicle_id}/state", **ONE)
async def vehicle_state(parts: TheParts, vehicle_id: DevicePath) -> VehicleState:
    """The vehicle's newest reading."""
    return await current_vehicle(parts, vehicle_id)


async def _insert(parts: Parts, stream: Stream, device_id: str, device: BaseModel) -> DictRow:
    async with parts.database.write() as connection:
        rows = await insert_devices(connection, stream, f"[{device.model_dump_json()}]")
        if rows:
            return rows[0]
        if await select_registered(connection, stream, [device_id]):
            detail = f"{stream.name} {device_id} is registered already"
            raise Problem(409, detail, field=stream.id_field)
    raise _vin_is_taken()


async def _list(
    parts: Parts, stream: Stream, filters: Mapping[str, str | None], limit: int, after: str | None
) -> list[DictRow]:
    last_id = read_id(after)
    async with parts.database.read() as connection:
        return await select_devices(
            connection, stream, filters=filters, after=last_id, limit=limit + 1
        )


async def _select(parts: Parts, stream: Stream, device_id: str) -> DictRow:
    async with parts.database.lookup() as connection:
        row = await select_device(connection, stream, device_id)
    return _registered(row, stream, device_id)


async def _update(parts: Parts, stream: Stream, device_id: str, change: BaseModel) -> DictRow:
    now = datetime.now(UTC)
    changes = change.model_dump(exclude_unset=True)
    for name in _REQUIRED:
        if name in changes and changes[name] is None:
            field = type(change).model_fields[name].alias or name
            raise Problem(422, f"{field}: cannot be null", field=field)
    asked = changes.pop("valid_from", None)
    since = now if asked is None else instant(asked, "validFrom", now, ahead=CLOCKS_DIFFER)
    try:
        async with parts.database.write() as connection, connection.transaction():
            was = _registered(await lock_device(connection, stream, device_id), stream, device_id)
            _check_step(was, changes)
            if any(was[name] != changes[name] for name in _FACTS & changes.keys()):
                _check_later(was["valid_from"], since)
                changes["valid_from"] = since.isoformat()
            row = await update_device(connection, stream, device_id, changes)
    except UniqueViolation as error:
        raise _vin_is_taken() from error
    return _registered(row, stream, device_id)


async def _delete(parts: Parts, stream: Stream, device_id: str) -> None:
    async with parts.database.write() as connection:
        if not await delete_device(connection, stream, device_id):
            raise _not_registered(stream, device_id)


def _check_step(was: DictRow, changes: dict[str, Any]) -> None:
    """Raise Problem (422) if the step and the modulus do not fit, and one of them changes."""
    now = was | changes
    for name, field in (
        ("register_step_kwh", "registerStepKwh"),
        ("register_modulus_kwh", "registerModulusKwh"),
    ):
        if name in changes and not step_fits(now["register_step_kwh"], now["register_modulus_kwh"]):
            raise Problem(422, STEP_MISFIT, field=field)


def _check_later(last: datetime | None, since: datetime) -> None:
    """Raise Problem (409) unless a change holds from a later time on than the last one."""
    if last is not None and since <= last:
        detail = f"validFrom: should be later than that of the last change, {format_time(last)}"
        raise Problem(409, detail, field="validFrom")


def _registered(row: DictRow | None, stream: Stream, device_id: str) -> DictRow:
    if row is None:
        raise _not_registered(stream, device_id)
    return row


def _not_registered(stream: Stream, device_id: str) -> Problem:
    return Problem(404, f"{stream.name} {device_id} is not registered")


def _vin_is_taken() -> Problem:
    return Problem(409, "another vehicle has this VIN", field="vin")
