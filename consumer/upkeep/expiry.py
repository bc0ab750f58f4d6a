"""Old dead letters of a group are deleted, and the size of their table is measured."""

from datetime import UTC, datetime, timedelta

import structlog

from consumer.dead_letters.table import Choice, purge_dead_letters
from consumer.metrics import Metrics
from consumer.postgres.connection import Connection
from consumer.postgres.database import Database
from consumer.postgres.refusals import LETTERS
from consumer.postgres.sizes import measure_tables
from consumer.postgres.statements import statement
from consumer.settings import DeadLetterSettings

log = structlog.get_logger()

MEASURE_EVERY_S = 60.0
_TABLE = "dead_letter"


async def expire(connection: Connection, consumer_group: str, *, retention_days: int) -> int:
    """Delete the group's letters that are past the retention, redriven or not; return how many.

    With 0 days all are kept. Each page is a transaction of its own, and replicas that do this at
    the same time share the work. The allowances of hours that are over are deleted, too.
    """
    await connection.execute(statement("forget_allowances"), {"consumer_group": consumer_group})
    if not retention_days:
        return 0
    until = datetime.now(UTC) - timedelta(days=retention_days)
    choice, deleted = Choice(consumer_group=consumer_group, until=until), 0
    while page := await purge_dead_letters(connection, choice):
        deleted += page
    return deleted


async def keep_expiring(
    database: Database, settings: DeadLetterSettings, *, consumer_group: str, interval_s: float
) -> None:
    """Delete what is past the retention for ever, at the start and then once an interval."""

    async def attempt() -> None:
        async with database.connection() as connection:
            deleted = await expire(
                connection, consumer_group, retention_days=settings.dead_letter_retention_days
            )
        if deleted:
            log.info("dead_letters_expired", deleted=deleted)

    await database.regularly(attempt, work=LETTERS, every_s=interval_s)


async def keep_measured(database: Database, metrics: Metrics) -> None:
    """Measure the table for ever. It counts as empty until it is analyzed for the first time."""

    async def attempt() -> None:
        async with database.connection() as connection:
            sizes = await measure_tables(connection, [_TABLE])
        for size in sizes.values():
            metrics.dead_letter_table_bytes.set(size.bytes or 0)
            metrics.dead_letter_table_rows.set(size.rows or 0)

    await database.regularly(attempt, work=LETTERS, every_s=MEASURE_EVERY_S)
