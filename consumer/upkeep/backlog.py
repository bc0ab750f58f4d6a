"""What upkeep has yet to do is measured: rollups that wait, and how far ahead days are made.

Upkeep that fails is reported by the task that fails. This also tells of upkeep that is merely slow,
and it only reads: so it is still told when PostgreSQL refuses to make days.
"""

import time

from consumer.metrics import Metrics
from consumer.postgres.connection import Connection
from consumer.postgres.database import Database
from consumer.postgres.days import list_days, made_until
from consumer.postgres.refusals import BACKLOG
from consumer.postgres.statements import statement
from telemetry.streams import STREAMS
from telemetry.timestamps import DAY_US

MEASURE_EVERY_S = 60.0
_DAY_S = 86_400


async def keep_backlog_measured(database: Database, metrics: Metrics) -> None:
    """Measure it for ever."""

    async def attempt() -> None:
        async with database.connection() as connection:
            await measure(connection, metrics, now_us=time.time_ns() // 1_000)

    await database.regularly(attempt, work=BACKLOG, every_s=MEASURE_EVERY_S)


async def measure(connection: Connection, metrics: Metrics, *, now_us: int) -> None:
    """Set the gauges to what waits now; raises psycopg.Error."""
    cursor = await connection.execute(statement("count_rollup_due"))
    notes, vehicles = await cursor.fetchone() or (0, 0)
    metrics.rollup_due.labels("notes").set(notes)
    metrics.rollup_due.labels("vehicles").set(vehicles)
    days = await list_days(connection)
    for stream in STREAMS:
        until = made_until([one for one in days if one.history == stream.history], now_us // DAY_US)
        metrics.history_made_until.labels(stream.topic).set(until * _DAY_S)
