"""The registry: which meters and vehicles there are, and what they are."""

from collections.abc import Mapping, Sequence

from psycopg.rows import DictRow
from psycopg.types.json import Jsonb

from api.postgres.database import Connection
from api.queries.rows import all_rows, first_row
from api.queries.statements import BY_STREAM
from telemetry.streams import Stream


async def insert_devices(connection: Connection, stream: Stream, devices: str) -> list[DictRow]:
    """Register devices, a JSON array; return those that were not registered already."""
    return await all_rows(connection, BY_STREAM[stream].insert_devices, devices=devices)


async def select_registered(
    connection: Connection, stream: Stream, device_ids: Sequence[str]
) -> set[str]:
    """Return those of the ids that are registered."""
    found = await all_rows(
        connection, BY_STREAM[stream].select_registered, device_ids=list(device_ids)
    )
    return {row[stream.id_column] for row in found}


async def select_devices(
    connection: Connection,
    stream: Stream,
    *,
    filters: Mapping[str, str | None],
    after: str,
    limit: int,
) -> list[DictRow]:
    """Return the first `limit` registered devices whose ids follow, in their order.

    Only those that have the values of `filters`, if they are given.
    """
    return await all_rows(
        connection, BY_STREAM[stream].select_devices, **filters, after=after, limit=limit
    )


async def select_device(connection: Connection, stream: Stream, device_id: str) -> DictRow | None:
    """Return a registered device, None if it is not registered."""
    return await first_row(connection, BY_STREAM[stream].select_device, device_id=device_id)


async def lock_device(connection: Connection, stream: Stream, device_id: str) -> DictRow | None:
    """Return a registered device, which nobody else changes before the transaction ends."""
    return await first_row(connection, BY_STREAM[stream].lock_device, device_id=device_id)


async def update_device(
    connection: Connection, stream: Stream, device_id: str, changes: Mapping[str, object]
) -> DictRow | None:
    """Change what is given of a device; return it, or None if it is not registered.

    Without changes it stays as it is, the time of its last change too. Raises UniqueViolation if
    another device has a property that only one may have.
    """
    if not changes:
        return await select_device(connection, stream, device_id)
    return await first_row(
        connection, BY_STREAM[stream].update_device, device_id=device_id, changes=Jsonb(changes)
    )


async def delete_device(connection: Connection, stream: Stream, device_id: str) -> bool:
    """Remove a device from the registry; return whether it was there."""
    deleted = await first_row(connection, BY_STREAM[stream].delete_device, device_id=device_id)
    return deleted is not None
