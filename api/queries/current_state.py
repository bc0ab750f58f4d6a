"""The newest reading of a device, and of every device."""

from psycopg.rows import DictRow

from api.postgres.database import Connection
from api.queries.rows import all_rows, first_row
from api.queries.statements import BY_STREAM
from telemetry.streams import Stream


async def current_state(connection: Connection, stream: Stream, device_id: str) -> DictRow | None:
    """Return the device's newest reading, None if it has sent none."""
    return await first_row(connection, BY_STREAM[stream].current_state, device_id=device_id)


async def current_states(
    connection: Connection, stream: Stream, *, after: str, limit: int
) -> list[DictRow]:
    """Return the newest reading of the first `limit` devices whose ids follow, in their order."""
    return await all_rows(connection, BY_STREAM[stream].current_states, after=after, limit=limit)
