"""The registry: which meters and vehicles there are, and what they are."""

from collections.abc import Mapping

from psycopg.rows import DictRow
from psycopg.types.json import Jsonb

from api.postgres.database import Connection
from api.queries.rows import all_rows, first_row
from api.queries.statements import BY_STREAM
from telemetry.streams import Stream


async def insert_device(
    connection: Connection, stream: Stream, device_id: str, properties: Mapping[str, object]
) -> DictRow | None:
    """Register a device; return it, or None if it is registered already."""
    return await first_row(
        connection, BY_STREAM[stream].insert_device, **{**properties, "device_id": device_id}
    )


async def select_devices(
    connection: Connection, stream: Stream, *, after: str, limit: int
) -> list[DictRow]:
    """Return the first `limit` registered devices whose ids follow, in their order."""
    return await all_rows(connection, BY_STREAM[stream].select_devices, after=after, limit=limit)


async def select_device(connection: Connection, stream: Stream, device_id: str) -> DictRow | None:
    """Return a registered device, None if it is not registered."""
    return await first_row(connection, BY_STREAM[stream].select_device, device_id=device_id)


async def update_device(
    connection: Connection, stream: Stream, device_id: str, changes: Mapping[str, object]
) -> DictRow | None:
    """Change what is given of a device; return it, or None if it is not registered.

    Without changes it stays as it is, the time of its last change too.
    """
    if not changes:
        return await select_device(connection, stream, device_id)
    return await first_row(
        connection, BY_STREAM[stream].update_device, device_id=device_id, changes=Jsonb(changes)
    )
