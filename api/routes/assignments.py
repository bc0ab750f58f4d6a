"""Which meter charges a vehicle, and when."""

from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Body, Path
from psycopg.errors import CheckViolation, DataException, ExclusionViolation

from api.models.assignments import Assignment, AssignmentEnd, NewAssignment
from api.pagination import LARGEST_ID, After, Limit, Page, page_of, read_cursor
from api.parameters import DevicePath
from api.parts import Parts, TheParts
from api.postgres.database import Connection
from api.problems import Problem
from api.queries.assignments import (
    count_assignments,
    insert_assignment,
    select_assignments,
    set_assignment_end,
)
from api.queries.windows import EARLIEST, instant
from api.routes.answers import END, MANY, NEW
from api.routes.json_body import JsonRoute
from api.times import format_time

router = APIRouter(
    route_class=JsonRoute, prefix="/v1/devices/vehicles/{vehicle_id}/assignments", tags=["devices"]
)

_OVERLAP = "the vehicle is assigned to a meter in that time already"


@router.post("", **NEW)
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
            raise Problem(409, _OVERLAP, field="start") from error
    return Assignment.model_validate(row)


@router.get("", **MANY)
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


@router.patch("/{assignment_id}", **END)
async def end_assignment(
    parts: TheParts,
    vehicle_id: DevicePath,
    assignment_id: Annotated[int, Path(ge=1, le=LARGEST_ID)],
    change: Annotated[AssignmentEnd, Body()],
) -> Assignment:
    """Set when an assignment ends; null opens it again."""
    end = None if change.end is None else instant(change.end, "end", datetime.now(UTC))
    async with parts.database.alone(f"vehicle {vehicle_id}") as connection:
        try:
            row = await set_assignment_end(connection, vehicle_id, assignment_id, end=end)
        except (CheckViolation, DataException) as error:
            detail = "end: should be later than the assignment's start"
            raise Problem(422, detail, field="end") from error
        except ExclusionViolation as error:
            raise Problem(409, _OVERLAP, field="end") from error
    if row is None:
        raise Problem(404, f"vehicle {vehicle_id} has no assignment {assignment_id}")
    return Assignment.model_validate(row)


async def _check_day(
    parts: Parts, connection: Connection, vehicle_id: str, start: datetime
) -> None:
    """Raise Problem (409) if the vehicle has as many assignments on that day as it may have."""
    most = parts.registry.assignment_changes_per_day
    if await count_assignments(connection, vehicle_id, start) >= most:
        parts.metrics.refused.labels("assignments_a_day").inc()
        detail = (
            f"vehicle {vehicle_id} has {most} assignments that start on {start:%F} (UTC) already,"
            " and more are not allowed (ASSIGNMENT_CHANGES_PER_DAY)"
        )
        raise Problem(409, detail, field="start")
