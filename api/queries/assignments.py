"""Which meter charges a vehicle, and when."""

from datetime import datetime

from psycopg.rows import DictRow

from api.postgres.database import Connection
from api.queries.rows import all_rows, first_row, only_row
from api.queries.statements import statement
from api.queries.windows import utc_day


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


async def set_assignment_end(
    connection: Connection, vehicle_id: str, assignment_id: int, *, end: datetime | None
) -> DictRow | None:
    """Set when an assignment of the vehicle ends; return it, or None if it does not exist.

    Raises CheckViolation or DataException if the end is not later than the start, and
    ExclusionViolation if the vehicle has another assignment in that time.
    """
    return await first_row(
        connection,
        statement("set_assignment_end"),
        vehicle_id=vehicle_id,
        assignment_id=assignment_id,
        end=end,
    )
