"""What the fleet's page shows of its last day, beside vehicles by status: hours, meters."""

from datetime import datetime

from psycopg.rows import DictRow

from api.postgres.database import Connection
from api.queries.refusals import backlog_explained
from api.queries.rows import all_rows, only_row
from api.queries.statements import statement


async def fleet_begin(connection: Connection, start: datetime, end: datetime) -> DictRow:
    """Return `is_older`, whether any vehicle sent by the start, and `first_at`, its time if not.

    `first_at` is the first time in start < recorded_at <= end, None if there is none.
    """
    return await only_row(connection, statement("fleet_begin"), start=start, end=end)


async def fleet_hour(connection: Connection, start: datetime, end: datetime) -> DictRow:
    """Return the kWh of all vehicles in an hour or less, and of those that it can judge.

    Raises Problem (503) while too many late readings are not rolled up.
    """
    with backlog_explained():
        return await only_row(connection, statement("fleet_hour"), start=start, end=end)


async def vehicles_meters(
    connection: Connection,
    vehicle_ids: list[str],
    start: datetime,
    end: datetime,
    *,
    most_meters: int,
) -> list[DictRow]:
    """Return the first meters that charged each vehicle; `known` is how many there were."""
    return await all_rows(
        connection,
        statement("vehicles_meters"),
        vehicle_ids=vehicle_ids,
        start=start,
        end=end,
        most_meters=most_meters,
    )
