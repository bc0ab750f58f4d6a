"""What the page of a vehicle shows beside its performance: curves, coverage, sessions."""

from datetime import datetime, timedelta

from psycopg.rows import DictRow

from api.postgres.database import Connection
from api.queries.rows import all_rows, only_row
from api.queries.statements import statement
from api.queries.windows import Window


async def vehicle_begin(
    connection: Connection, vehicle_id: str, start: datetime, end: datetime
) -> DictRow:
    """Return `is_older`, whether it sent by the start, and `first_at`, its first time after that.

    `first_at` is None if it sent none in start < recorded_at <= end.
    """
    return await only_row(
        connection, statement("vehicle_begin"), vehicle_id=vehicle_id, start=start, end=end
    )


async def vehicle_series(connection: Connection, vehicle_id: str, window: Window) -> list[DictRow]:
    """Return the means `soc` and `temperature` of each five minutes with readings, in order."""
    return await all_rows(
        connection,
        statement("vehicle_series"),
        vehicle_id=vehicle_id,
        start=window.start,
        end=window.end,
    )


async def vehicle_coverage(
    connection: Connection,
    vehicle_id: str,
    window: Window,
    *,
    meter_ids: list[str],
    apart: timedelta,
    limit: int,
) -> list[DictRow]:
    """Return the first `limit` spans that readings cover, by device, the vehicle's own first.

    Spans that are at most `apart` from each other are joined.
    """
    return await all_rows(
        connection,
        statement("vehicle_coverage"),
        vehicle_id=vehicle_id,
        start=window.start,
        end=window.end,
        meter_ids=meter_ids,
        apart=apart,
        most=limit,
    )


async def vehicle_sessions(
    connection: Connection, vehicle_id: str, window: Window, *, limit: int
) -> list[DictRow]:
    """Return the first `limit` sessions that overlap the window, with their energy within it."""
    return await all_rows(
        connection,
        statement("vehicle_sessions"),
        vehicle_id=vehicle_id,
        start=window.start,
        end=window.end,
        limit=limit,
    )
