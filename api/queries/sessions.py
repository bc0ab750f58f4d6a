"""Charging sessions, without their energy, which `charges` computes."""

from datetime import datetime

from psycopg.rows import DictRow

from api.postgres.database import Connection
from api.queries.charges import Charge
from api.queries.rows import all_rows, first_row, only_row
from api.queries.statements import statement
from api.queries.windows import utc_day


async def count_sessions(connection: Connection, charge: Charge) -> DictRow:
    """Return `of_vehicle` and `of_meter`: how many start on the UTC day of the charge's start."""
    day, day_end = utc_day(charge["started_at"])
    return await only_row(
        connection,
        statement("count_sessions"),
        vehicle_id=charge["vehicle_id"],
        meter_id=charge["meter_id"],
        day=day,
        day_end=day_end,
    )


async def insert_session(connection: Connection, charge: Charge) -> DictRow:
    """Enter a session; raises ExclusionViolation if either device is in another one then."""
    return await only_row(connection, statement("insert_session"), **charge)


async def set_session_end(
    connection: Connection, session_id: int, ended_at: datetime
) -> DictRow | None:
    """Set when a session ended; return it, or None if it has ended already.

    Raises ExclusionViolation if either device is in another session in that time.
    """
    return await first_row(
        connection, statement("set_session_end"), session_id=session_id, ended_at=ended_at
    )


async def set_session_times(
    connection: Connection, was: DictRow, *, started_at: datetime, ended_at: datetime | None
) -> DictRow | None:
    """Set when a session began and ended; return it, or None if it has changed meanwhile.

    Raises ExclusionViolation if either device is in another session in that time.
    """
    return await first_row(
        connection,
        statement("set_session_times"),
        session_id=was["session_id"],
        was_started_at=was["started_at"],
        was_ended_at=was["ended_at"],
        started_at=started_at,
        ended_at=ended_at,
    )


async def delete_session(connection: Connection, session_id: int) -> bool:
    """Remove a session; return whether it was there."""
    return (
        await first_row(connection, statement("delete_session"), session_id=session_id) is not None
    )


async def select_session(connection: Connection, session_id: int) -> DictRow | None:
    """Return the session with this id, None if there is none."""
    return await first_row(connection, statement("select_session"), session_id=session_id)


async def select_sessions(
    connection: Connection,
    *,
    vehicle_id: str | None,
    meter_id: str | None,
    only_active: bool,
    start: datetime | None,
    end: datetime | None,
    after: int,
    limit: int,
) -> list[DictRow]:
    """Return the first `limit` sessions whose ids follow, in order of their ids.

    Only those of one vehicle or meter, if it is given; only those under way, with `only_active`;
    only those that overlap the time from `start` to `end`, if these are given.
    """
    return await all_rows(
        connection,
        statement("select_sessions"),
        vehicle_id=vehicle_id,
        meter_id=meter_id,
        only_active=only_active,
        start=start,
        end=end,
        after=after,
        limit=limit,
    )
