"""Which meter charges a vehicle, and when."""

from datetime import UTC, datetime
from typing import Annotated, cast

from fastapi import APIRouter, Body, Path
from psycopg.errors import ExclusionViolation

from api.models.assignments import (
    Assignment,
    AssignmentChange,
    NewAssignment,
    VehicleAssignment,
)
from api.pagination import LARGEST_ID, After, Limit, Page, page_of, read_cursor
from api.parameters import DevicePath
from api.parts import Parts, TheParts
from api.postgres.database import Connection
from api.problems import Problem
from api.queries.assignments import (
    count_assignments,
    delete_assignment,
    insert_assignment,
    select_assignment,
    select_assignments,
    select_meters_assignments,
    set_assignment_times,
)
from api.queries.windows import EARLIEST, instant, utc_day
from api.routes.answers import CHANGE, MANY, NEW, REMOVE
from api.routes.json_body import JsonRoute
from api.times import format_time

router = APIRouter(route_class=JsonRoute, prefix="/v1/devices", tags=["devices"])

AssignmentId = Annotated[int, Path(ge=1, le=LARGEST_ID)]
_OF_VEHICLE = "/vehicles/{vehicle_id}/assignments"

OVERLAP = "the vehicle is assigned to a meter in that time already"


@router.post(_OF_VEHICLE, **NEW)
async def assign(
    parts: TheParts, vehicle_id: DevicePath, assignment: Annotated[NewAssignment, Body()]
) -> Assignment:
    """Enter which meter charges the vehicle, and from when; the time may be in the past."""
    now = datetime.now(UTC)
    start = instant(assignment.start, "start", now)
    end = None if assignment.end is None else instant(assignment.end, "end", now)
    if end is not None and end <= start:
        raise Problem(422, "end: should be later than start", field="end")
    async with parts.database.alone(f"vehicle {vehicle_id}") as connection:
        await _check_day(parts, connection, vehicle_id, start)
        try:
            row = await insert_assignment(
                connection, vehicle_id, meter_id=assignment.meter_id, start=start, end=end
            )
        except ExclusionViolation as error:
            raise Problem(409, OVERLAP, field="start") from error
    return Assignment.model_validate(row)


@router.get(_OF_VEHICLE, **MANY)
async def list_assignments(
    parts: TheParts, vehicle_id: DevicePath, limit: Limit = 100, after: After = None
) -> Page[Assignment]:
    """The vehicle's assignments, in the order of their times."""
    key = read_cursor(after, str)
    # Without a cursor: a time before the earliest possible start.
    last = (
        EARLIEST.replace(year=1999)
        if key is None
        else instant(str(key[0]), "after", datetime.now(UTC))
    )
    async with parts.database.read() as connection:
        rows = await select_assignments(connection, vehicle_id, after=last, limit=limit + 1)
    return page_of(rows, limit, Assignment.model_validate, lambda row: [format_time(row["start"])])


@router.get("/meters/{meter_id}/assignments", **MANY)
async def list_meters_assignments(
    parts: TheParts, meter_id: DevicePath, limit: Limit = 100, after: After = None
) -> Page[VehicleAssignment]:
    """The assignments of vehicles to the meter, in the order of their starts."""
    key = read_cursor(after, str, int)
    last, last_id = (
        (EARLIEST.replace(year=1999), 0)
        if key is None
        else (instant(str(key[0]), "after", datetime.now(UTC)), cast("int", key[1]))
    )
    async with parts.database.read() as connection:
        rows = await select_meters_assignments(
            connection, meter_id, after=last, after_id=last_id, limit=limit + 1
        )
    return page_of(
        rows,
        limit,
        VehicleAssignment.model_validate,
        lambda row: [format_time(row["start"]), row["assignment_id"]],
    )


@router.patch(_OF_VEHICLE + "/{assignment_id}", **CHANGE)
async def change_assignment(
    parts: TheParts,
    vehicle_id: DevicePath,
    assignment_id: AssignmentId,
    change: Annotated[AssignmentChange, Body()],
) -> Assignment:
    """Say when an assignment starts or ends. A null end opens it again."""
    now = datetime.now(UTC)
    changes = {
        name: None if text is None else instant(text, name, now)
        for name, text in change.model_dump(exclude_unset=True).items()
    }
    if "start" in changes and changes["start"] is None:
        raise Problem(422, "start: cannot be null", field="start")
    field = "end" if "end" in changes else "start"
    async with parts.database.alone(f"vehicle {vehicle_id}") as connection:
        was = await select_assignment(connection, vehicle_id, assignment_id)
        if was is None:
            raise _no_assignment(vehicle_id, assignment_id)
        times = was | changes
        start, end = times["start"], times["end"]
        if end is not None and end <= start:
            raise Problem(422, f"{field}: the end should be later than the start", field=field)
        if utc_day(start) != utc_day(was["start"]):
            await _check_day(parts, connection, vehicle_id, start)
        try:
            row = await set_assignment_times(
                connection, vehicle_id, assignment_id, start=start, end=end
            )
        except ExclusionViolation as error:
            raise Problem(409, OVERLAP, field=field) from error
    return Assignment.model_validate(row)


@router.delete(_OF_VEHICLE + "/{assignment_id}", **REMOVE)
async def remove_assignment(
    parts: TheParts, vehicle_id: DevicePath, assignment_id: AssignmentId
) -> None:
    """Remove an assignment, as if it had never been entered."""
    async with parts.database.alone(f"vehicle {vehicle_id}") as connection:
        if not await delete_assignment(connection, vehicle_id, assignment_id):
            raise _no_assignment(vehicle_id, assignment_id)


async def _check_day(
    parts: Parts, connection: Connection, vehicle_id: str, start: datetime
) -> None:
    """Raise Problem (409) if the vehicle has as many assignments on that day as it may have."""
    most = parts.registry.assignment_changes_per_day
    if await count_assignments(connection, vehicle_id, start) >= most:
        parts.metrics.refused.labels("assignments_a_day").inc()
        raise Problem(409, day_is_full(vehicle_id, start, most), field="start")


def day_is_full(vehicle_id: str, start: datetime, most: int) -> str:
    """Return the detail of a problem: the vehicle may have no more assignments on that day."""
    return (
        f"vehicle {vehicle_id} has {most} assignments that start on {start:%F} (UTC) already,"
        " and one may have no more (ASSIGNMENT_CHANGES_PER_DAY)"
    )


def _no_assignment(vehicle_id: str, assignment_id: int) -> Problem:
    return Problem(404, f"vehicle {vehicle_id} has no assignment {assignment_id}")
