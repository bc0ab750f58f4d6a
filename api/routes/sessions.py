"""Charging sessions: how they begin and end, and their energy."""

from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime
from typing import Annotated, Any, cast

from fastapi import APIRouter, Body, Path, Query
from psycopg.errors import ExclusionViolation
from psycopg.rows import DictRow
from pydantic import AliasChoices
from pydantic.alias_generators import to_camel

from api.models.sessions import Session, SessionChange, SessionEnd, SessionStart
from api.pagination import LARGEST_ID, After, Limit, Page, page_of, read_cursor
from api.parts import Parts, TheParts
from api.postgres.database import Connection
from api.problems import Problem
from api.queries.charges import Charge, energies, energies_in_time, energy_once_entered
from api.queries.sessions import (
    count_sessions,
    delete_session,
    insert_session,
    select_session,
    select_sessions,
    set_session_end,
    set_session_times,
)
from api.queries.windows import CLOCKS_DIFFER, instant, utc_day
from api.routes.answers import CHANGE, MANY, NEW, ONE, REMOVE
from api.routes.json_body import JsonRoute
from telemetry.readings import DEVICE_ID

router = APIRouter(route_class=JsonRoute, prefix="/v1/sessions", tags=["sessions"])

SessionId = Annotated[int, Path(ge=1, le=LARGEST_ID)]
From = Annotated[
    str | None,
    Query(
        validation_alias=AliasChoices("start", "startTime", "from"),
        max_length=64,
        description="RFC 3339; only charges that end later; or `startTime`, or `from`",
    ),
]
Until = Annotated[
    str | None,
    Query(
        validation_alias=AliasChoices("end", "endTime", "to"),
        max_length=64,
        description="RFC 3339; only charges that start earlier; or `endTime`, or `to`",
    ),
]
DeviceFilter = Annotated[str | None, Query(pattern=f"^{DEVICE_ID}$", max_length=64)]
# The device that each constraint allows one session at a time.
_EXCLUDED = {"vehicle_in_one_session": "vehicle", "meter_in_one_session": "meter"}


@router.post("/start", **NEW)
async def start_session(parts: TheParts, start: Annotated[SessionStart, Body()]) -> Session:
    """Begin a charge, now or at a past time. A charge that is over is entered with its end."""
    now = datetime.now(UTC)
    started_at = now if start.started_at is None else _past(start.started_at, "startedAt", now)
    ended_at = None if start.ended_at is None else _past(start.ended_at, "endedAt", now)
    if ended_at is not None and ended_at <= started_at:
        raise Problem(422, "endedAt: should be later than startedAt", field="endedAt")
    charge = {
        "vehicle_id": start.vehicle_id,
        "meter_id": start.meter_id,
        "started_at": started_at,
        "ended_at": ended_at,
    }
    energy = await _energy(parts, charge)
    async with _alone(parts, charge) as connection:
        await _check_day(parts, connection, charge)
        try:
            session = await insert_session(connection, charge)
        except ExclusionViolation as error:
            raise _overlap(error) from error
    return Session.model_validate(session | energy)


@router.post("/{session_id}/end", **CHANGE)
async def end_session(
    parts: TheParts, session_id: SessionId, end: Annotated[SessionEnd | None, Body()] = None
) -> Session:
    """End a charge, now or at a time after its start.

    The `Content-Type` must be application/json, even without a body.
    """
    now = datetime.now(UTC)
    ended_at = now if end is None or end.ended_at is None else _past(end.ended_at, "endedAt", now)
    async with parts.database.write() as connection:
        begun = await _session(connection, session_id)
    if begun["ended_at"] is not None:
        raise _ended(session_id)
    if ended_at <= begun["started_at"]:
        detail = "endedAt: should be later than the session's start"
        raise Problem(422, detail, field="endedAt")
    energy = await _energy(parts, begun | {"ended_at": ended_at})
    async with _alone(parts, begun) as connection:
        try:
            session = await set_session_end(connection, session_id, ended_at)
        except ExclusionViolation as error:
            raise _overlap(error) from error
    if session is None:
        raise _ended(session_id)
    return Session.model_validate(session | energy)


@router.patch("/{session_id}", **CHANGE)
async def change_session(
    parts: TheParts, session_id: SessionId, change: Annotated[SessionChange, Body()]
) -> Session:
    """Put right when a charge began or ended. A null end opens it again."""
    now = datetime.now(UTC)
    changes = {
        name: None if text is None else _past(text, to_camel(name), now)
        for name, text in change.model_dump(exclude_unset=True).items()
    }
    if "started_at" in changes and changes["started_at"] is None:
        raise Problem(422, "startedAt: cannot be null", field="startedAt")
    async with parts.database.entry() as connection:
        was = await _session(connection, session_id)
    charge = was | changes
    if charge["ended_at"] is not None and charge["ended_at"] <= charge["started_at"]:
        field = "endedAt" if "ended_at" in changes else "startedAt"
        raise Problem(422, f"{field}: the end should be later than the start", field=field)
    energy = await _energy(parts, charge)
    async with _alone(parts, was) as connection:
        if utc_day(charge["started_at"]) != utc_day(was["started_at"]):
            await _check_day(parts, connection, charge)
        try:
            session = await set_session_times(
                connection, was, started_at=charge["started_at"], ended_at=charge["ended_at"]
            )
        except ExclusionViolation as error:
            raise _overlap(error) from error
    if session is None:
        raise Problem(409, f"session {session_id} was changed or removed meanwhile")
    return Session.model_validate(session | energy)


@router.delete("/{session_id}", **REMOVE)
async def remove_session(parts: TheParts, session_id: SessionId) -> None:
    """Remove a charge, as if it had never been entered."""
    async with parts.database.alone(f"session {session_id}") as connection:
        if not await delete_session(connection, session_id):
            raise _no_session(session_id)


@router.get("", **MANY)
async def list_sessions(
    parts: TheParts,
    *,
    vehicle_id: Annotated[DeviceFilter, Query(alias="vehicleId")] = None,
    meter_id: Annotated[DeviceFilter, Query(alias="meterId")] = None,
    start: From = None,
    end: Until = None,
    limit: Limit = 100,
    after: After = None,
) -> Page[Session]:
    """The charges of a vehicle, of a meter or of all, past and under way, in order of their ids.

    With `start` or `end` only those that overlap that time.
    """
    now = datetime.now(UTC)
    return await _list(
        parts,
        vehicle_id,
        meter_id,
        start=None if start is None else instant(start, "start", now),
        end=None if end is None else instant(end, "end", now),
        limit=limit,
        after=after,
    )


@router.get("/active", **MANY)
async def active_sessions(
    parts: TheParts, limit: Limit = 100, after: After = None
) -> Page[Session]:
    """The charges under way, in order of their ids."""
    return await _list(parts, only_active=True, limit=limit, after=after)


@router.get("/{session_id}", **ONE)
async def show_session(parts: TheParts, session_id: SessionId) -> Session:
    """A charge, and the energy of its meter and vehicle while it ran."""
    async with parts.database.snapshot() as connection:
        session = await _session(connection, session_id)
        (energy,) = await energies(connection, [session])
    return Session.model_validate(session | energy)


async def _list(
    parts: Parts,
    vehicle_id: str | None = None,
    meter_id: str | None = None,
    *,
    only_active: bool = False,
    start: datetime | None = None,
    end: datetime | None = None,
    limit: int,
    after: str | None,
) -> Page[Session]:
    key = read_cursor(after, int)
    async with parts.database.snapshot() as connection:
        rows = await select_sessions(
            connection,
            vehicle_id=vehicle_id,
            meter_id=meter_id,
            only_active=only_active,
            start=start,
            end=end,
            after=0 if key is None else cast("int", key[0]),
            limit=limit + 1,
        )
        computed = await energies_in_time(connection, rows[:limit])
    sessions = [row | energy for row, energy in zip(rows, computed, strict=False)]
    # One more row says that more follow, even if only the time for energies was over.
    following = rows[len(computed) : len(computed) + 1]
    return page_of(
        sessions + following,
        len(computed),
        Session.model_validate,
        lambda row: [row["session_id"]],
    )


def _alone(parts: Parts, charge: Charge) -> AbstractAsyncContextManager[Connection]:
    """Lend a connection for a transaction that is alone with the vehicle and the meter."""
    return parts.database.alone(f"vehicle {charge['vehicle_id']}", f"meter {charge['meter_id']}")


async def _energy(parts: Parts, charge: Charge) -> dict[str, Any]:
    """Return the energy of a charge before it is entered, so that a failure changes nothing.

    It may take long. In the lane of entries it blocks no device, and does not wait for questions.
    """
    async with parts.database.entry() as connection:
        return await energy_once_entered(connection, charge)


async def _check_day(parts: Parts, connection: Connection, charge: Charge) -> None:
    """Raise Problem (409) if either device has as many sessions on that day as it may have."""
    begun = await count_sessions(connection, charge)
    most = parts.registry.sessions_per_day
    for what in ("vehicle", "meter"):
        if begun[f"of_{what}"] >= most:
            parts.metrics.refused.labels("sessions_a_day").inc()
            detail = (
                f"{what} {charge[f'{what}_id']} has {most} sessions that start on"
                f" {charge['started_at']:%F} (UTC) already; more are not allowed"
                " (SESSIONS_PER_DAY)"
            )
            raise Problem(409, detail, field=f"{what}Id")


async def _session(connection: Connection, session_id: int) -> DictRow:
    row = await select_session(connection, session_id)
    if row is None:
        raise _no_session(session_id)
    return row


def _no_session(session_id: int) -> Problem:
    return Problem(404, f"there is no session {session_id}")


def _past(text: str, field: str, now: datetime) -> datetime:
    """Return a past time, or one ahead by as much as clocks differ; raises Problem (422)."""
    return instant(text, field, now, ahead=CLOCKS_DIFFER)


def _ended(session_id: int) -> Problem:
    return Problem(409, f"session {session_id} has ended already")


def _overlap(error: ExclusionViolation) -> Problem:
    what = _EXCLUDED.get(error.diag.constraint_name or "", "meter")
    return Problem(409, f"the {what} is in another session in that time", field=f"{what}Id")
