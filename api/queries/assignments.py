"""Which meter charges a vehicle, and when."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from psycopg.rows import DictRow

from api.postgres.database import Connection
from api.queries.rows import all_rows, first_row, only_row
from api.queries.statements import statement
from api.queries.windows import utc_day


@dataclass(frozen=True, slots=True)
class NewBond:
    """A vehicle's assignment to a meter that is to be entered."""

    vehicle_id: str
    meter_id: str
    start: datetime
    end: datetime | None


async def count_assignments(connection: Connection, vehicle_id: str, start: datetime) -> int:
    """Return how many assignments of the vehicle start on the UTC day of a time."""
    day, day_end = utc_day(start)
    row = await only_row(
        connection,
        statement("count_assignments"),
        vehicle_id=vehicle_id,
        day=day,
        day_end=day_end,
    )
    count: int = row["of_vehicle"]
    return count


async def insert_assignment(
    connection: Connection,
    vehicle_id: str,
    *,
    meter_id: str,
    start: datetime,
    end: datetime | None,
) -> DictRow:
    """Assign the vehicle to a meter; raises ExclusionViolation if it has another one then."""
    return await only_row(
        connection,
        statement("insert_assignment"),
        vehicle_id=vehicle_id,
        meter_id=meter_id,
        start=start,
        end=end,
    )


async def select_assignments(
    connection: Connection, vehicle_id: str, *, after: datetime, limit: int
) -> list[DictRow]:
    """Return the first `limit` assignments that start after a time, in order of their starts."""
    return await all_rows(
        connection,
        statement("select_assignments"),
        vehicle_id=vehicle_id,
        after=after,
        limit=limit,
    )


async def select_meters_assignments(
    connection: Connection, meter_id: str, *, after: datetime, after_id: int, limit: int
) -> list[DictRow]:
    """Return the first `limit` assignments of the meter that follow, in order of their starts."""
    return await all_rows(
        connection,
        statement("select_meters_assignments"),
        meter_id=meter_id,
        after=after,
        after_id=after_id,
        limit=limit,
    )


async def select_assignment(
    connection: Connection, vehicle_id: str, assignment_id: int
) -> DictRow | None:
    """Return an assignment of the vehicle, None if it does not exist."""
    return await first_row(
        connection,
        statement("select_assignment"),
        vehicle_id=vehicle_id,
        assignment_id=assignment_id,
    )


async def set_assignment_times(
    connection: Connection,
    vehicle_id: str,
    assignment_id: int,
    *,
    start: datetime,
    end: datetime | None,
) -> DictRow:
    """Set when an assignment that exists starts and ends, and return it.

    Raises ExclusionViolation if the vehicle has another assignment in that time.
    """
    return await only_row(
        connection,
        statement("set_assignment_times"),
        vehicle_id=vehicle_id,
        assignment_id=assignment_id,
        start=start,
        end=end,
    )


async def delete_assignment(connection: Connection, vehicle_id: str, assignment_id: int) -> bool:
    """Remove an assignment of the vehicle; return whether it was there."""
    deleted = await first_row(
        connection,
        statement("delete_assignment"),
        vehicle_id=vehicle_id,
        assignment_id=assignment_id,
    )
    return deleted is not None


async def assignments_there(connection: Connection, new: Sequence[NewBond]) -> list[DictRow]:
    """Return `overlaps` and `of_day` of each new assignment, in their order."""
    return await all_rows(
        connection,
        statement("assignments_there"),
        vehicle_ids=[one.vehicle_id for one in new],
        starts=[one.start for one in new],
        ends=[one.end for one in new],
        days=[utc_day(one.start)[0] for one in new],
    )


async def insert_assignments(connection: Connection, new: Sequence[NewBond]) -> list[DictRow]:
    """Enter assignments and return them in their order.

    Raises ExclusionViolation if a vehicle has another one then.
    """
    return await all_rows(
        connection,
        statement("insert_assignments"),
        vehicle_ids=[one.vehicle_id for one in new],
        meter_ids=[one.meter_id for one in new],
        starts=[one.start for one in new],
        ends=[one.end for one in new],
    )
