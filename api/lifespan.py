"""What runs while the application does: connections, background work, a port for `/metrics`."""

import asyncio
import socket
from collections.abc import AsyncIterator, Set
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from functools import partial

import structlog
import uvicorn
from aiokafka.errors import KafkaError
from tenacity import (
    AsyncRetrying,
    RetryCallState,
    retry_if_exception_type,
    wait_random_exponential,
)

from api.ingest.gateway import Gateway
from api.parts import Parts
from api.settings import ListenSettings, Settings
from runtime.http.exposition import metrics_alone
from runtime.http.problem import SECURITY_HEADERS
from runtime.http.server import configuration, serve
from runtime.kafka.brokers import Unreachable
from runtime.kafka.settings import KafkaSettings
from runtime.kafka.topics import create_topics
from runtime.renewal import Renew, keep_renewed
from runtime.tasks import cancel

log = structlog.get_logger()

_MOST_SCRAPERS = 50


@asynccontextmanager
async def running(
    parts: Parts, settings: Settings, *, for_metrics: socket.socket | None
) -> AsyncIterator[None]:
    """Run the parts; the servers behind them may be away at the start.

    If `for_metrics` is given, `/metrics` is served on that socket meanwhile.
    """
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(parts.database.opened())
        await stack.enter_async_context(parts.gateway.running())
        await stack.enter_async_context(parts.figures.opened())
        stack.push_async_callback(parts.probes.aclose)
        await stack.enter_async_context(parts.readiness.looking())
        if parts.known.are_needed:
            parts.known.note_gone = partial(_forget, parts, asyncio.get_running_loop())
        renewals: list[Renew] = [parts.known.renew] if settings.access.api_clients_file else []
        if parts.certificate is not None:
            renewals.append(parts.certificate.renew)
        background = {
            "renewal": keep_renewed(renewals),
            "live": parts.live.run(),
            "figures": parts.figures.run(),
            "topics": _make_topics(settings.kafka, parts.gateway),
        }
        if for_metrics is not None:
            background["metrics"] = serve(
                _metrics_server(parts, settings.listen),
                for_metrics,
                announced_as="metrics_listening",
            )
        for name, work in background.items():
            stack.push_async_callback(_end, asyncio.create_task(work, name=name))
        yield


def _forget(parts: Parts, loop: asyncio.AbstractEventLoop, names: Set[str]) -> None:
    """End the live streams of these clients; called on a thread, which the parts are not for."""
    loop.call_soon_threadsafe(parts.live.end_those_of, {f"client:{name}" for name in names})
    loop.call_soon_threadsafe(parts.metrics.forget_clients, names - parts.known.clients.names)


def _metrics_server(parts: Parts, listen: ListenSettings) -> uvicorn.Config:
    return configuration(
        metrics_alone(parts.exposition),
        settings=listen.model_copy(update={"http_max_connections": _MOST_SCRAPERS}),
        refused=parts.metrics.refused,
        certificate=parts.certificate,
        lifespan="off",
        headers=list(SECURITY_HEADERS.items()),
    )


async def _make_topics(kafka: KafkaSettings, gateway: Gateway) -> None:
    """Make the topics that are missing, however long the broker takes to answer."""

    def note(state: RetryCallState) -> None:
        error = state.outcome and state.outcome.exception()
        if isinstance(error, Unreachable):  # its text names the setting; librdkafka's does not
            gateway.note_unavailable(error)

    async for attempt in AsyncRetrying(
        retry=retry_if_exception_type((KafkaError, OSError)),
        wait=wait_random_exponential(max=5),
        before_sleep=note,
    ):
        with attempt:
            created = await create_topics(kafka)
    if created:
        log.info("topics_created", topics=created)


async def _end(task: "asyncio.Task[None]") -> None:
    await cancel([task])
    with suppress(asyncio.CancelledError):
        task.result()
