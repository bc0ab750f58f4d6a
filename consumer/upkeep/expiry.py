"""Dead letters do not stay for ever: a group's old ones are deleted, and the table is measured."""

from datetime import UTC, datetime, timedelta

import structlog

from consumer.dead_letters.table import Choice, purge_dead_letters
from consumer.metrics import Metrics
from consumer.postgres.database import Connection, Database
from consumer.postgres.refusals import LETTERS
from consumer.postgres.statements import statement
from consumer.settings import DeadLetterSettings

log = structlog.get_logger()

MEASURE_EVERY_S = 60.0
_TABLE = "dead_letter"


async def expire(connection: Connection, consumer_group: str, *, retention_days: int) -> int:
    """Delete the group's letters that are past the retention, redriven or not; return how many.

    0 days keep all. Each page is a transaction of its own; replicas that do so at once share the
    work. What was counted of hours that are over goes too.
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
    """Show how large the table is, for ever; a table that was never analyzed tells no rows."""

    async def attempt() -> None:
        async with database.connection() as connection:
            cursor = await connection.execute(statement("measure_partitions"), {"names": [_TABLE]})
            async for _, rows, size in cursor:
                metrics.dead_letter_table_bytes.set(size)
                metrics.dead_letter_table_rows.set(rows or 0)

    await database.regularly(attempt, work=LETTERS, every_s=MEASURE_EVERY_S)
