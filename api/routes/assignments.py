"""Which meter charges a vehicle, and when."""

from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Body, Path
from psycopg.errors import CheckViolation, DataException, ExclusionViolation

from api.json_body import JsonRoute
from api.models import Assignment, AssignmentEnd, NewAssignment
from api.pagination import LARGEST_ID, After, Limit, Page, page_of, read_cursor
from api.parts import TheParts
from api.problems import Problem, describe_problems
from api.queries.statements import statement
from api.queries.windows import EARLIEST, instant, utc_day
from api.times import format_time
from telemetry.readings import DEVICE_ID

router = APIRouter(
    route_class=JsonRoute, prefix="/v1/devices/vehicles/{vehicle_id}/assignments", tags=["devices"]
)

Vehicle = Annotated[str, Path(pattern=f"^{DEVICE_ID}$", max_length=64)]
_OVERLAP = "the vehicle is assigned to a meter in that time already"
_NEW: dict[str, Any] = {"status_code": 201, "responses": describe_problems(401, 409, 422, 429, 503)}
_ONE: dict[str, Any] = {"responses": describe_problems(401, 404, 409, 422, 429, 503)}
_MANY: dict[str, Any] = {"responses": describe_problems(401, 422, 429, 503)}


@router.post("", **_NEW)
async def assign(
    parts: TheParts, vehicle_id: Vehicle, assignment: Annotated[NewAssignment, Body()]
) -> Assignment:
    """Say which meter charges the vehicle from a time on; past times may be entered."""
    now = datetime.now(UTC)
    start = instant(assignment.start, "start", now)
    end = None if assignment.end is None else instant(assignment.end, "end", now)
    if end is not None and end <= start:
        raise Problem(422, "end: should be later than start", field="end")
    day, day_end = utc_day(start)
    parameters = {
        "vehicle_id": vehicle_id,
        "meter_id": assignment.meter_id,
        "start": start,
        "end": end,
        "day": day,
        "day_end": day_end,
    }
    async with parts.database.alone(f"vehicle {vehicle_id}") as connection:
        cursor = await connection.execute(statement("assignments_begun"), parameters)
        begun = await cursor.fetchone()
        most = parts.registry.assignment_changes_per_day
        if begun is not None and begun["of_vehicle"] >= most:
            parts.metrics.refused.labels("assignments_a_day").inc()
            detail = (
                f"vehicle {vehicle_id} has {most} assignments that start on {day:%F} (UTC) already,"
                " and one may have no more (ASSIGNMENT_CHANGES_PER_DAY)"
            )
            raise Problem(409, detail, field="start")
        try:
            cursor = await connection.execute(statement("insert_assignment"), parameters)
        except ExclusionViolation as error:
            raise Problem(409, _OVERLAP, field="start") from error
        return Assignment.model_validate(await cursor.fetchone())


@router.get("", **_MANY)
async def list_assignments(
    parts: TheParts, vehicle_id: Vehicle, limit: Limit = 100, after: After = None
) -> Page[Assignment]:
    """The vehicle's assignments, in the order of their times."""
    last = read_cursor(after, str)
    now = datetime.now(UTC)
    parameters = {
        "vehicle_id": vehicle_id,
        "after": EARLIEST.replace(year=1999)
        if last is None
        else instant(str(last[0]), "after", now),
        "limit": limit + 1,
    }
    async with parts.database.read() as connection:
        cursor = await connection.execute(statement("list_assignments"), parameters)
        rows = await cursor.fetchall()
    return page_of(rows, limit, Assignment.model_validate, lambda row: [format_time(row["start"])])


@router.patch("/{assignment_id}", **_ONE)
async def end_assignment(
    parts: TheParts,
    vehicle_id: Vehicle,
    assignment_id: Annotated[int, Path(ge=1, le=LARGEST_ID)],
    change: Annotated[AssignmentEnd, Body()],
) -> Assignment:
    """Say when an assignment ends."""
    end = None if change.end is None else instant(change.end, "end", datetime.now(UTC))
    parameters = {"vehicle_id": vehicle_id, "assignment_id": assignment_id, "end": end}
    async with parts.database.alone(f"vehicle {vehicle_id}") as connection:
        try:
            cursor = await connection.execute(statement("end_assignment"), parameters)
        except (CheckViolation, DataException) as error:
            detail = "end: should be later than the assignment's start"
            raise Problem(422, detail, field="end") from error
        except ExclusionViolation as error:
            raise Problem(409, _OVERLAP, field="end") from error
        row = await cursor.fetchone()
    if row is None:
        raise Problem(404, f"vehicle {vehicle_id} has no assignment {assignment_id}")
    return Assignment.model_validate(row)
