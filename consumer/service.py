"""The service: runs the parts of a replica, and drains on SIGTERM."""

import asyncio
import gc
import signal
import socket
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from functools import partial
from typing import Any

import structlog

from consumer.errors import ConsumerError
from consumer.fit import CHECK_S
from consumer.health import application
from consumer.kafka.stopped import STOPPED_HELP
from consumer.settings import Settings
from consumer.upkeep.backlog import keep_backlog_measured
from consumer.upkeep.devices import keep_counted
from consumer.upkeep.expiry import keep_expiring, keep_measured
from consumer.upkeep.retention import keep_maintained
from consumer.upkeep.rollups import keep_rolled_up
from consumer.wiring import Parts, build
from runtime.http.certificate import Certificate
from runtime.http.problem import SECURITY_HEADERS
from runtime.http.server import configuration, listen, serve
from runtime.postgres.settings import warn_if_unchecked
from runtime.renewal import keep_renewed
from runtime.tasks import cancel

log = structlog.get_logger()

ANSWER_IS_FRESH_S = 3 * CHECK_S


async def run(settings: Settings) -> int:
    """Run until SIGTERM or SIGINT and return the exit code.

    Raises PortTaken and SettingsError if health and metrics cannot be served.
    """
    listening = listen(settings.http)
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    _collect_garbage_rarely()
    code = 0
    async with build(settings) as parts:
        certificate = Certificate.of(settings.http, parts.metrics.http_certificate_expiry)
        log.info("service_starting", group=settings.source.consumer_group)
        warn_if_unchecked(database_url=settings.database.database_url)
        try:
            async with asyncio.TaskGroup() as tasks:
                running = [
                    tasks.create_task(part)
                    for part in (
                        _pages(parts, settings, listening, certificate),
                        keep_renewed([certificate.renew] if certificate else []),
                        *_work(parts, settings),
                    )
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
    upkeep, history = parts.upkeep, settings.history
    once_it_fits: list[Callable[[], Awaitable[None]]] = [
        parts.pipeline.run,
        partial(keep_maintained, upkeep, history, parts.metrics),
        partial(
            keep_expiring,
            upkeep,
            settings.dead_letters,
            consumer_group=settings.source.consumer_group,
            interval_s=history.partitions_interval_s,
        ),
        partial(keep_measured, upkeep, parts.metrics),
        partial(keep_rolled_up, upkeep, history, is_behind=lambda: parts.schedule.is_behind),
        partial(keep_counted, upkeep, parts.metrics),
        partial(keep_backlog_measured, upkeep, parts.metrics),
    ]
    return [
        parts.fit.run(),
        parts.source.watch(),
        parts.ends.run(),
        parts.lag.run(),
        parts.group_lag.run(),
        *(parts.fit.before(part) for part in once_it_fits),
    ]


async def _pages(
    parts: Parts, settings: Settings, listening: socket.socket, certificate: Certificate | None
) -> None:
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
        application(
            metrics=parts.metrics, readiness=readiness, waits_for=lambda: parts.fit.waits_for
        ),
        settings=settings.http,
        refused=parts.metrics.http_refused,
        connections=parts.metrics.http_connections,
        certificate=certificate,
        lifespan="off",
        headers=list(SECURITY_HEADERS.items()),
    )
    await serve(pages, listening)


def _single(group: BaseExceptionGroup[ConsumerError]) -> Iterator[ConsumerError]:
    """Yield the errors of a group and of the groups in it."""
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from _single(error)
        else:
            yield error
