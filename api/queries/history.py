"""A device's readings in a window."""

from datetime import datetime

from psycopg.rows import DictRow

from api.postgres.database import Connection
from api.queries.rows import all_rows
from api.queries.statements import BY_STREAM
from telemetry.streams import Stream


async def history(
    connection: Connection,
    stream: Stream,
    device_id: str,
    *,
    after: datetime,
    end: datetime,
    limit: int,
) -> list[DictRow]:
    """Return the first `limit` readings of after < recorded_at <= end, in order of their times."""
    return await all_rows(
        connection,
        BY_STREAM[stream].history,
        device_id=device_id,
        after=after,
        end=end,
        limit=limit,
    )
