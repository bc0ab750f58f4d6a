"""When a device's readings begin."""

from datetime import datetime

from psycopg.rows import DictRow

from api.postgres.database import Connection
from api.queries.rows import only_row
from api.queries.statements import BY_STREAM
from telemetry.streams import Stream


async def device_begin(
    connection: Connection, stream: Stream, device_id: str, start: datetime, end: datetime
) -> DictRow:
    """Return `is_older`, whether it sent by the start, and `first_at`, its first time after that.

    `first_at` is None if it sent none in start < recorded_at <= end.
    """
    return await only_row(
        connection, BY_STREAM[stream].device_begin, device_id=device_id, start=start, end=end
    )
