"""The service: runs the parts of a replica, and drains on SIGTERM."""

import asyncio
import gc
import signal
import socket
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from typing import Any

import structlog

from consumer.errors import ConsumerError
from consumer.health import application
from consumer.kafka.stopped import STOPPED_HELP
from consumer.postgres.database import Database
from consumer.postgres.refusals import CHECK
from consumer.settings import Settings
from consumer.upkeep.backlog import keep_backlog_measured
from consumer.upkeep.devices import keep_counted
from consumer.upkeep.expiry import keep_expiring, keep_measured
from consumer.upkeep.retention import keep_maintained
from consumer.upkeep.rollups import keep_rolled_up
from consumer.wiring import Parts, build
from runtime.http.problem import SECURITY_HEADERS
from runtime.http.server import configuration, listen, serve
from runtime.postgres.schema_version import require_schema
from runtime.tasks import cancel

log = structlog.get_logger()

DATABASE_CHECK_S = 5.0
ANSWER_IS_FRESH_S = 3 * DATABASE_CHECK_S


async def run(settings: Settings) -> int:
    """Run until SIGTERM or SIGINT and return the exit code.

    Raises PortTaken if health and metrics cannot be served.
    """
    listening = listen(settings.http)
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    _collect_garbage_rarely()
    code = 0
    async with build(settings) as parts:
        log.info("service_starting", group=settings.source.consumer_group)
        try:
            async with asyncio.TaskGroup() as tasks:
                running = [
                    tasks.create_task(part)
                    for part in (_pages(parts, settings, listening), *_work(parts, settings))
                ]
                await stopping.wait()
                log.info("service_stopping")
                begun = time.monotonic()
                await parts.pipeline.drain(settings.flush.drain_timeout_s)
                log.info("service_drained", seconds=round(time.monotonic() - begun, 3))
                await cancel(running)
        except* ConsumerError as failures:
            for failure in dict.fromkeys(_single(failures)):
                log.error("service_failed", error=str(failure))  # noqa: TRY400  one line says it
            code = 1
        if parts.source.stopped:
            partitions = sorted(f"{one.topic}/{one.partition}" for one in parts.source.stopped)
            log.error("partitions_stopped", partitions=partitions, help=STOPPED_HELP)
            code = 1
    log.info("service_stopped", exit_code=code)
    return code


def _collect_garbage_rarely() -> None:
    """Look for cycles rarely: batches make millions of small objects, and they form none."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 20, 20)


def _work(parts: Parts, settings: Settings) -> list[Coroutine[Any, Any, None]]:
    """Return what runs for ever; if one of them fails, the service ends."""
    schema_fits = asyncio.Event()
    return [
        _run_when(schema_fits, parts.pipeline.run),
        parts.source.watch(),
        parts.ends.run(),
        parts.lag.run(),
        parts.group_lag.run(),
        _check_regularly(parts.database, schema_fits),
        keep_maintained(parts.upkeep, settings.history),
        keep_expiring(
            parts.upkeep,
            settings.dead_letters,
            consumer_group=settings.source.consumer_group,
            interval_s=settings.history.partitions_interval_s,
        ),
        keep_measured(parts.upkeep, parts.metrics),
        keep_rolled_up(parts.upkeep, settings.history, is_behind=lambda: parts.schedule.is_behind),
        keep_counted(parts.upkeep, parts.metrics),
        keep_backlog_measured(parts.upkeep, parts.metrics),
    ]


async def _pages(parts: Parts, settings: Settings, listening: socket.socket) -> None:
    """Serve health and metrics for ever."""
    database = parts.database

    def readiness() -> dict[str, bool]:
        fresh = asyncio.get_running_loop().time() - database.last_answer < ANSWER_IS_FRESH_S
        return {
            "partitions_assigned": parts.source.has_assignment,
            "database_fresh": database.is_available and fresh,
            "database_accepts": not database.refusals.keep_from_storing,
        }

    pages = configuration(
        application(metrics=parts.metrics, readiness=readiness),
        settings=settings.http,
        refused=parts.metrics.http_refused,
        connections=parts.metrics.http_connections,
        lifespan="off",
        headers=list(SECURITY_HEADERS.items()),
    )
    await serve(pages, listening)


async def _run_when(ready: asyncio.Event, part: Callable[[], Awaitable[None]]) -> None:
    """Wait for the event, then run the part for ever."""
    await ready.wait()
    await part()


async def _check_regularly(database: Database, schema_fits: asyncio.Event) -> None:
    """Ask for the schema's version whenever PostgreSQL has not answered lately.

    Readiness needs a fresh answer, and flushes give one only while there are messages. A replica
    that is newer than the schema could store nothing. So it takes no partitions from replicas that
    can: it waits, as it does for any statement that is refused.
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


def _single(group: BaseExceptionGroup[ConsumerError]) -> Iterator[ConsumerError]:
    """Yield the errors of a group and of the groups in it."""
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from _single(error)
        else:
            yield error
