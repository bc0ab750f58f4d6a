"""The vehicles whose charging is implausible, or poorer than a threshold."""

from typing import NamedTuple

from psycopg.rows import DictRow

from api.postgres.database import Connection
from api.queries.refusals import backlog_explained
from api.queries.rows import all_rows
from api.queries.statements import statement
from api.queries.windows import Window


class Place(NamedTuple):
    """Where a vehicle stands in the order of anomalies; by default, before the first."""

    rank: int = -1
    weight: float = 0.0
    vehicle_id: str = ""


async def select_anomalies(
    connection: Connection, window: Window, *, threshold: float, after: Place, limit: int
) -> list[DictRow]:
    """Return the first `limit` of them that follow a place; `threshold` is in per cent.

    Raises Problem (503) while too many late readings are not rolled up.
    """
    with backlog_explained():
        return await all_rows(
            connection,
            statement("select_anomalies"),
            start=window.start,
            end=window.end,
            threshold=threshold,
            after_rank=after.rank,
            after_weight=after.weight,
            after_id=after.vehicle_id,
            limit=limit,
        )
