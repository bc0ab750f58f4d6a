"""How the parts of a replica are made and joined, for the service and for tests."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from consumer.dead_letters.allowance import Allowance
from consumer.fit import Fit
from consumer.flush.decoder import Decoder
from consumer.flush.registered import Registered
from consumer.flush.sink import Sink
from consumer.group_lag import GroupLag
from consumer.kafka.ends import Ends
from consumer.kafka.source import Source
from consumer.lag import Lag
from consumer.metrics import Metrics
from consumer.opening import Opener
from consumer.pipeline import Pipeline
from consumer.postgres.database import Database, Purpose
from consumer.schedule import Schedule
from consumer.settings import Settings

# A flush is a dozen statements, most of them short; each has the statement's timeout.
STATEMENT_TIMEOUTS_OF_A_FLUSH = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """The parts of a replica that the service runs or asks."""

    metrics: Metrics
    database: Database
    fit: Fit
    upkeep: Database
    source: Source
    schedule: Schedule
    pipeline: Pipeline
    ends: Ends
    lag: Lag
    group_lag: GroupLag


@asynccontextmanager
async def build(settings: Settings) -> AsyncIterator[Parts]:
    """Make the parts of a replica, and close their clients at the end; nothing runs yet."""
    metrics = Metrics()
    database = Database(settings=settings.database, metrics=metrics)
    upkeep = Database(
        settings=settings.database,
        metrics=metrics,
        purpose=Purpose.UPKEEP,
        refusals=database.refusals,
    )
    group = settings.source.consumer_group
    async with AsyncExitStack() as stack:
        source = Source(kafka=settings.kafka, settings=settings.source, metrics=metrics)
        stack.push_async_callback(source.aclose)
        registered = Registered() if settings.devices.registered_devices_only else None
        sinks = [
            Sink(
                database=database,
                metrics=metrics,
                timeout=STATEMENT_TIMEOUTS_OF_A_FLUSH
                * settings.database.database_statement_timeout_s,
                allowance=Allowance.of(settings.dead_letters),
                registered=registered,
            )
            for _ in range(settings.flush.flush_connections)
        ]
        for sink in sinks:
            stack.push_async_callback(sink.aclose)
        schedule = Schedule(settings.flush)
        pipeline = Pipeline(
            source=source,
            schedule=schedule,
            opener=Opener(
                source=source, schedule=schedule, database=database, consumer_group=group
            ),
            decoder=Decoder(
                consumer_group=group,
                retention_days=settings.history.history_retention_days,
                strips_schema_prefix=settings.records.schema_registry_prefix == "strip",
                metrics=metrics,
            ),
            sinks=sinks,
            database=database,
            settings=settings.flush,
            metrics=metrics,
        )
        ends = Ends(
            kafka=settings.kafka,
            interval_s=settings.watchdog.lag_interval_s,
            owned=lambda: [one.partition for one in schedule.owned],
        )
        stack.push_async_callback(ends.aclose)
        yield Parts(
            metrics=metrics,
            database=database,
            fit=Fit(database),
            upkeep=upkeep,
            source=source,
            schedule=schedule,
            pipeline=pipeline,
            ends=ends,
            lag=Lag(
                ends=ends,
                source=source,
                schedule=schedule,
                pipeline=pipeline,
                database=database,
                watchdog_timeout_s=settings.watchdog.watchdog_timeout_s,
                metrics=metrics,
            ),
            group_lag=GroupLag(
                ends=ends,
                kafka=settings.kafka,
                consumer_group=group,
                source=source,
                schedule=schedule,
                open_forgotten=pipeline.open_forgotten,
                database=database,
                metrics=metrics,
            ),
        )
