"""Charging sessions: begun, ended, and what they came to."""

from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Body, Path, Query
from psycopg.errors import CheckViolation, DataException, ExclusionViolation
from psycopg.rows import DictRow

from api.database import Connection
from api.json_body import JsonRoute
from api.models import Session, SessionEnd, SessionStart
from api.pages import LARGEST_ID, After, Limit, Page, page_of, read_cursor
from api.parts import Parts, TheParts
from api.problems import Problem, describe_problems
from api.statements import statement
from api.windows import CLOCKS_DIFFER, instant
from telemetry.readings import DEVICE_ID

router = APIRouter(route_class=JsonRoute, prefix="/v1/sessions", tags=["sessions"])

SessionId = Annotated[int, Path(ge=1, le=LARGEST_ID)]
DeviceFilter = Annotated[str | None, Query(pattern=f"^{DEVICE_ID}$", max_length=64)]
_NEW: dict[str, Any] = {"status_code": 201, "responses": describe_problems(401, 409, 422, 429, 503)}
_ONE: dict[str, Any] = {"responses": describe_problems(401, 404, 422, 429, 503)}
_END: dict[str, Any] = {"responses": describe_problems(401, 404, 409, 422, 429, 503)}
_MANY: dict[str, Any] = {"responses": describe_problems(401, 422, 429, 503)}
_TAKEN = {"vehicle_in_one_session": "vehicle", "meter_in_one_session": "meter"}


@router.post("/start", **_NEW)
async def start_session(parts: TheParts, start: Annotated[SessionStart, Body()]) -> Session:
    """Begin a charge, now or at a time of the past; one that is over has its end, too."""
    now = datetime.now(UTC)
    started_at = now if start.started_at is None else _past(start.started_at, "startedAt", now)
    ended_at = None if start.ended_at is None else _past(start.ended_at, "endedAt", now)
    if ended_at is not None and ended_at <= started_at:
        raise Problem(422, "endedAt: should be later than startedAt", field="endedAt")
    parameters = {
        "vehicle_id": start.vehicle_id,
        "meter_id": start.meter_id,
        "started_at": started_at,
        "ended_at": ended_at,
    }
    async with parts.database.alone() as connection:
        try:
            cursor = await connection.execute(statement("start_session"), parameters)
        except ExclusionViolation as error:
            raise _taken(error) from error
        row = await cursor.fetchone()
        assert row is not None  # noqa: S101  it was inserted
        return await _session(connection, row["session_id"])


@router.post("/{session_id}/end", **_END)
async def end_session(
    parts: TheParts, session_id: SessionId, end: Annotated[SessionEnd | None, Body()] = None
) -> Session:
    """End a charge, now or at a time after its start.

    The Content-Type is application/json, with a body and without.
    """
    now = datetime.now(UTC)
    ended_at = now if end is None or end.ended_at is None else _past(end.ended_at, "endedAt", now)
    parameters = {"session_id": session_id, "ended_at": ended_at}
    async with parts.database.alone() as connection:
        try:
            cursor = await connection.execute(statement("end_session"), parameters)
        except (CheckViolation, DataException) as error:
            detail = "endedAt: should be later than the session's start"
            raise Problem(422, detail, field="endedAt") from error
        except ExclusionViolation as error:
            raise _taken(error) from error
        session = await _session(connection, session_id)
        if not cursor.rowcount:
            raise Problem(409, f"session {session_id} has ended already")
        return session


@router.get("", **_MANY)
async def list_sessions(
    parts: TheParts,
    *,
    vehicle_id: Annotated[DeviceFilter, Query(alias="vehicleId")] = None,
    meter_id: Annotated[DeviceFilter, Query(alias="meterId")] = None,
    limit: Limit = 100,
    after: After = None,
) -> Page[Session]:
    """The charges of a vehicle, of a meter or of all, past and under way, in order of their ids."""
    return await _list(parts, vehicle_id, meter_id, limit=limit, after=after)


@router.get("/active", **_MANY)
async def active_sessions(
    parts: TheParts, limit: Limit = 100, after: After = None
) -> Page[Session]:
    """The charges under way, in order of their ids."""
    return await _list(parts, only_active=True, limit=limit, after=after)


@router.get("/{session_id}", **_ONE)
async def show_session(parts: TheParts, session_id: SessionId) -> Session:
    """A charge, and the energy of its meter and vehicle while it ran."""
    async with parts.database.read() as connection:
        return await _session(connection, session_id)


async def _list(
    parts: Parts,
    vehicle_id: str | None = None,
    meter_id: str | None = None,
    *,
    only_active: bool = False,
    limit: int,
    after: str | None,
) -> Page[Session]:
    last = read_cursor(after, int)
    parameters = {
        "vehicle_id": vehicle_id,
        "meter_id": meter_id,
        "only_active": only_active,
        "after": 0 if last is None else last[0],
        "limit": limit + 1,
    }
    async with parts.database.read() as connection:
        cursor = await connection.execute(statement("list_sessions"), parameters)
        rows: list[DictRow] = await cursor.fetchall()
    return page_of(rows, limit, Session.model_validate, lambda row: [row["session_id"]])


async def _session(connection: Connection, session_id: int) -> Session:
    cursor = await connection.execute(statement("session"), {"session_id": session_id})
    row = await cursor.fetchone()
    if row is None:
        raise Problem(404, f"there is no session {session_id}")
    return Session.model_validate(row)


def _past(text: str, field: str, now: datetime) -> datetime:
    """Return the time of what has happened; raises Problem (422) for a plan."""
    return instant(text, field, now, ahead=CLOCKS_DIFFER)


def _taken(error: ExclusionViolation) -> Problem:
    what = _TAKEN.get(error.diag.constraint_name or "", "meter")
    return Problem(409, f"the {what} is in another session in that time", field=f"{what}Id")
