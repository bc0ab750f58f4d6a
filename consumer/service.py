"""The service: builds the parts, supervises them, and drains on SIGTERM."""

import asyncio
import gc
import signal
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AsyncExitStack

import structlog

from consumer.dead_letters.allowance import Allowance
from consumer.errors import ConsumerError
from consumer.flush.registered import Registered
from consumer.flush.sink import Sink
from consumer.group_lag import GroupLag
from consumer.health import application
from consumer.kafka.source import STOPPED_HELP, Source
from consumer.lag import LagMonitor
from consumer.metrics import Metrics
from consumer.pipeline import Pipeline
from consumer.postgres.database import Database, Purpose
from consumer.postgres.refusals import CHECK
from consumer.settings import Settings
from consumer.upkeep.devices import keep_counted
from consumer.upkeep.expiry import keep_expiring, keep_measured
from consumer.upkeep.retention import keep_maintained
from consumer.upkeep.rollups import keep_rolled_up
from runtime.http.refusal import SECURITY_HEADERS
from runtime.http.server import configuration, listen, serve
from runtime.schema_version import require_schema
from runtime.tasks import cancel

log = structlog.get_logger()

DATABASE_CHECK_S = 5.0
ANSWER_IS_FRESH_S = 3 * DATABASE_CHECK_S
# A flush is a dozen statements, most of them short; each has the statement's timeout.
STATEMENT_TIMEOUTS_OF_A_FLUSH = 2


async def run(settings: Settings) -> int:
    """Run until SIGTERM or SIGINT and return the exit code.

    Raises PortTaken where health and metrics cannot be served.
    """
    listening = listen(settings.http)
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    # Batches make and drop millions of small objects that form no cycles: look for cycles rarely.
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 20, 20)

    metrics = Metrics()
    database = Database(settings=settings.database, metrics=metrics)
    upkeep = Database(
        settings=settings.database,
        metrics=metrics,
        purpose=Purpose.UPKEEP,
        refusals=database.refusals,
    )
    source = Source(kafka=settings.kafka, settings=settings.source, metrics=metrics)
    async with AsyncExitStack() as stack:
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
        pipeline = Pipeline(
            source=source,
            sinks=sinks,
            database=database,
            settings=settings.flush,
            consumer_group=settings.source.consumer_group,
            retention_days=settings.history.history_retention_days,
            strips_schema_prefix=settings.records.schema_registry_prefix == "strip",
            metrics=metrics,
        )
        lag = LagMonitor(
            kafka=settings.kafka,
            source=source,
            pipeline=pipeline,
            database=database,
            settings=settings.watchdog,
            metrics=metrics,
        )
        stack.push_async_callback(lag.aclose)
        group_lag = GroupLag(
            kafka=settings.kafka,
            consumer_group=settings.source.consumer_group,
            source=source,
            pipeline=pipeline,
            database=database,
            settings=settings.watchdog,
            metrics=metrics,
        )
        stack.push_async_callback(group_lag.aclose)

        def readiness() -> dict[str, bool]:
            fresh = loop.time() - database.last_answer < ANSWER_IS_FRESH_S
            return {
                "partitions_assigned": source.has_assignment,
                "database_fresh": database.is_available and fresh,
                "database_accepts": not database.refusals.keep_from_storing,
            }

        pages = configuration(
            application(metrics=metrics, readiness=readiness),
            settings=settings.http,
            refused=metrics.http_refused,
            connections=metrics.http_connections,
            lifespan="off",
            headers=list(SECURITY_HEADERS.items()),
        )
        code = 0
        schema_fits = asyncio.Event()
        log.info("service_starting", group=settings.source.consumer_group)
        try:
            async with asyncio.TaskGroup() as tasks:
                parts = [
                    tasks.create_task(part)
                    for part in (
                        serve(pages, listening),
                        _check_regularly(database, schema_fits),
                        keep_maintained(upkeep, settings.history),
                        keep_expiring(
                            upkeep,
                            settings.dead_letters,
                            consumer_group=settings.source.consumer_group,
                            interval_s=settings.history.partitions_interval_s,
                        ),
                        keep_measured(upkeep, metrics),
                        keep_rolled_up(
                            upkeep, settings.history, is_behind=lambda: pipeline.is_behind
                        ),
                        keep_counted(upkeep, metrics),
                        lag.run(),
                        group_lag.run(),
                        source.watch(),
                        _run_once(schema_fits, pipeline.run),
                    )
                ]
                await stopping.wait()
                log.info("service_stopping")
                begun = time.monotonic()
                await pipeline.drain(settings.flush.drain_timeout_s)
                log.info("service_drained", seconds=round(time.monotonic() - begun, 3))
                await cancel(parts)
        except* ConsumerError as failures:
            for failure in dict.fromkeys(_single(failures)):
                log.error("service_failed", error=str(failure))  # noqa: TRY400  one line says it
            code = 1
        if source.stopped:
            partitions = sorted(f"{one.topic}/{one.partition}" for one in source.stopped)
            log.error("partitions_stopped", partitions=partitions, help=STOPPED_HELP)
            code = 1
    log.info("service_stopped", exit_code=code)
    return code


def _single(group: BaseExceptionGroup[ConsumerError]) -> Iterator[ConsumerError]:
    """Yield the errors of a group and of the groups in it."""
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from _single(error)
        else:
            yield error


async def _run_once(ready: asyncio.Event, part: Callable[[], Awaitable[None]]) -> None:
    """Run the part for ever, from when it is ready."""
    await ready.wait()
    await part()


async def _check_regularly(database: Database, schema_fits: asyncio.Event) -> None:
    """Ask for the schema's version when no flush has lately: readiness wants a fresh answer.

    A replica that is newer than the schema could store nothing. It takes no partitions from
    replicas that can: it waits, as it does for any statement that is refused.
    """

    async def ask() -> None:
        async with database.connection() as connection:
            await require_schema(connection)
        schema_fits.set()

    loop = asyncio.get_running_loop()
    while True:
        if loop.time() - database.last_answer >= DATABASE_CHECK_S:
            await database.patiently(ask, work=CHECK)
        await asyncio.sleep(DATABASE_CHECK_S)
