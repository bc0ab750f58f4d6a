"""Thousands of devices or assignments in one request: all of them are entered, or none."""

import asyncio
from collections import Counter
from collections.abc import Hashable, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, Generic, TypeVar

from fastapi import APIRouter, Request, Response
from fastapi.routing import APIRoute
from psycopg.errors import ExclusionViolation
from psycopg.rows import DictRow
from pydantic import BaseModel

from api.models.assignments import NewVehicleAssignment, VehicleAssignment
from api.models.devices import Meter, NewMeter, NewVehicle, Vehicle
from api.parts import Parts, TheParts
from api.problems import FieldFault, Problem, describe_problems
from api.queries.assignments import NewBond, assignments_there, insert_assignments
from api.queries.devices import insert_devices, select_registered
from api.queries.windows import instant, utc_day
from api.routes.assignments import OVERLAP, day_is_full
from api.routes.batch_body import describe_items, items_of
from telemetry.streams import METER, VEHICLE, Stream

router = APIRouter(prefix="/v1/devices", tags=["devices"])

Item = TypeVar("Item", bound=BaseModel)


class Entered(BaseModel, Generic[Item]):
    """What was entered, in the order of the request."""

    items: list[Item]


def _answers(item: type[BaseModel], asked: type[BaseModel]) -> dict[str, Any]:
    return {
        "status_code": 201,
        "response_model": Entered[item],  # type: ignore[valid-type]  # it is one at run time
        "responses": describe_problems(401, 409, 413, 422, 429, 503),
        "openapi_extra": describe_items(asked),
    }


@router.post("/meters/batch", **_answers(Meter, NewMeter))
async def register_meters(request: Request, parts: TheParts) -> Response:
    """Register up to 5,000 meters, all or none."""
    meters = await items_of(request, parts, NewMeter)
    rows = await _register(parts, METER, [meter.meter_id for meter in meters], meters)
    return await _entered(Meter, rows)


@router.post("/vehicles/batch", **_answers(Vehicle, NewVehicle))
async def register_vehicles(request: Request, parts: TheParts) -> Response:
    """Register up to 5,000 vehicles, all or none."""
    vehicles = await items_of(request, parts, NewVehicle)
    if faults := list(_repeated("vin", [vehicle.vin for vehicle in vehicles])):
        raise _conflict(faults)
    rows = await _register(parts, VEHICLE, [one.vehicle_id for one in vehicles], vehicles)
    return await _entered(Vehicle, rows)


@router.post("/assignments/batch", **_answers(VehicleAssignment, NewVehicleAssignment))
async def assign_vehicles(request: Request, parts: TheParts) -> Response:
    """Say for up to 5,000 vehicles and times which meter charges them, all or none."""
    asked = await items_of(request, parts, NewVehicleAssignment)
    new = _bonds(asked)
    if faults := list(_overlapping(new)):
        raise _conflict(faults)
    vehicles = sorted({f"vehicle {one.vehicle_id}" for one in new})
    async with parts.database.alone(*vehicles) as connection:
        there = await assignments_there(connection, new)
        if faults := list(_refused(parts, new, there)):
            raise _conflict(faults)
        try:
            rows = await insert_assignments(connection, new)
        except ExclusionViolation as error:  # entered past the locks, in SQL
            raise Problem(409, OVERLAP, field="items") from error
    return await _entered(VehicleAssignment, rows)


PATHS = frozenset(route.path for route in router.routes if isinstance(route, APIRoute))
"""The paths that take batches, whose bodies may be large."""


async def _register(
    parts: Parts, stream: Stream, ids: Sequence[str], devices: Sequence[BaseModel]
) -> list[DictRow]:
    """Register the devices and return them in their order; raises Problem (409)."""
    if faults := list(_repeated(stream.id_field, ids)):
        raise _conflict(faults)
    text = await asyncio.to_thread(lambda: ",".join(one.model_dump_json() for one in devices))
    async with parts.database.write() as connection, connection.transaction():
        rows = {
            row[stream.id_column]: row
            for row in await insert_devices(connection, stream, f"[{text}]")
        }
        if missing := [(index, one) for index, one in enumerate(ids) if one not in rows]:
            known = await select_registered(connection, stream, [one for _, one in missing])
            raise _conflict(
                [
                    FieldFault(
                        field=f"items[{index}].{stream.id_field}",
                        detail=f"{stream.name} {one} is registered already",
                    )
                    if one in known
                    else FieldFault(
                        field=f"items[{index}].vin", detail="another vehicle has this VIN"
                    )
                    for index, one in missing
                ]
            )
    return [rows[one] for one in ids]


def _bonds(asked: Sequence[NewVehicleAssignment]) -> list[NewBond]:
    """Return the assignments with their times; raises Problem (422) that names each fault."""
    now = datetime.now(UTC)
    new: list[NewBond] = []
    faults: list[FieldFault] = []
    for index, one in enumerate(asked):
        name = f"items[{index}]"
        try:
            start = instant(one.start, f"{name}.start", now)
            end = None if one.end is None else instant(one.end, f"{name}.end", now)
        except Problem as problem:
            faults += problem.errors
            continue
        if end is not None and end <= start:
            detail = f"{name}.end: should be later than start"
            faults.append(FieldFault(field=f"{name}.end", detail=detail))
        new.append(NewBond(one.vehicle_id, one.meter_id, start, end))
    if faults:
        raise Problem(422, faults[0].detail, errors=faults)
    return new


def _repeated(field: str, values: Sequence[Hashable | None]) -> Iterator[FieldFault]:
    """Yield a fault for each value that an earlier item has already."""
    first: dict[Hashable, int] = {}
    for index, value in enumerate(values):
        if value is None:
            continue
        if (before := first.setdefault(value, index)) != index:
            yield FieldFault(
                field=f"items[{index}].{field}", detail=f"is that of items[{before}] too"
            )


def _overlapping(new: Sequence[NewBond]) -> Iterator[FieldFault]:
    """Yield a fault for each assignment that overlaps an earlier one of its vehicle."""
    furthest: dict[str, int] = {}
    for index in sorted(range(len(new)), key=lambda index: new[index].start):
        one = new[index]
        before = furthest.setdefault(one.vehicle_id, index)
        end = new[before].end
        if before != index and (end is None or one.start < end):
            yield FieldFault(field=f"items[{index}].start", detail=f"overlaps items[{before}]")
        elif before != index:
            furthest[one.vehicle_id] = index


def _refused(
    parts: Parts, new: Sequence[NewBond], there: Iterable[DictRow]
) -> Iterator[FieldFault]:
    """Yield a fault for each that overlaps one that is there, or is one too many for its day."""
    most = parts.registry.assignment_changes_per_day
    of_day: Counter[tuple[str, datetime]] = Counter()
    for index, (one, known) in enumerate(zip(new, there, strict=True)):
        day = (one.vehicle_id, utc_day(one.start)[0])
        of_day[day] += 1
        field = f"items[{index}].start"
        if known["overlaps"]:
            yield FieldFault(field=field, detail=OVERLAP)
        elif known["of_day"] + of_day[day] > most:
            parts.metrics.refused.labels("assignments_a_day").inc()
            yield FieldFault(field=field, detail=day_is_full(one.vehicle_id, one.start, most))


def _conflict(faults: Sequence[FieldFault]) -> Problem:
    return Problem(409, f"{faults[0].field}: {faults[0].detail}", errors=faults)


async def _entered(model: type[BaseModel], rows: Sequence[DictRow]) -> Response:
    """Return the answer, made on a thread, so that other requests are answered meanwhile."""

    def written() -> str:
        return ",".join(model.model_validate(row).model_dump_json(by_alias=True) for row in rows)

    text = await asyncio.to_thread(written)
    return Response(f'{{"items":[{text}]}}', 201, media_type="application/json")
