"""The vehicles that are registered or have sent a reading."""

from psycopg.rows import DictRow

from api.postgres.database import Connection
from api.queries.rows import all_rows
from api.queries.statements import statement


async def known_vehicles(
    connection: Connection, *, prefix: str, after: str, limit: int
) -> list[DictRow]:
    """Return the first `limit` whose ids begin with `prefix` and follow `after`, in their order.

    Each has its model and newest reading, if they are known.
    """
    return await all_rows(
        connection, statement("known_vehicles"), prefix=prefix, after=after, limit=limit
    )
