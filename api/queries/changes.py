"""Current states that were written since a time, for the live stream."""

from datetime import datetime, timedelta
from typing import NamedTuple

from psycopg.rows import DictRow

from api.postgres.database import Connection
from api.queries.rows import all_rows, only_row
from api.queries.statements import statement


class Place(NamedTuple):
    """Where a state stands in the order in which states were written."""

    updated_at: datetime
    kind: str = ""
    device_id: str = ""


async def database_time(connection: Connection) -> datetime:
    """Return the time on PostgreSQL's clock; of a replica, the time that its answers are of."""
    row = await only_row(connection, statement("now"))
    as_of: datetime = row["as_of"]
    return as_of


async def changed_states(connection: Connection, since: datetime) -> list[DictRow]:
    """Return the states of all devices written since a time, in the order of writing."""
    return await all_rows(connection, statement("changed_states"), since=since)


async def missed_states(
    connection: Connection,
    after: Place,
    *,
    meters: list[str],
    vehicles: list[str],
    furthest_back: timedelta,
    limit: int,
) -> list[DictRow]:
    """Return the first `limit` states that follow a place, in the order of writing.

    Only those of the named devices, or of all if none is named. States that were written longer ago
    than `furthest_back` are left out.
    """
    return await all_rows(
        connection,
        statement("missed_states"),
        since=after.updated_at,
        kind=after.kind,
        device_id=after.device_id,
        all=not meters and not vehicles,
        meters=meters,
        vehicles=vehicles,
        furthest_back=furthest_back,
        limit=limit,
    )
