"""The application: its parts, its routes, and what stands before them."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress

import structlog
from aiokafka.errors import KafkaError
from fastapi import Depends, FastAPI
from tenacity import (
    AsyncRetrying,
    RetryCallState,
    retry_if_exception_type,
    wait_random_exponential,
)

from api.database import Database
from api.figures.figures import Figures
from api.ingest.producer import Gateway
from api.live import Live
from api.metrics import Metrics
from api.middleware.access import Access
from api.middleware.access_log import Observation
from api.middleware.body_limit import BodyLimit
from api.middleware.cookies import NoCookies
from api.middleware.departure import Departure
from api.middleware.head import Head
from api.middleware.inflation import Inflation
from api.middleware.proxies import Proxies
from api.middleware.query import QueryLimit, check_query
from api.middleware.same_site import SameSite
from api.openapi import complete
from api.page import routes as page
from api.parts import Parts
from api.probe import Probes
from api.problems import explain_problems
from api.readiness import Readiness
from api.routes import (
    analytics,
    assignments,
    devices,
    exposition,
    health,
    ingest,
    live,
    sessions,
    state,
)
from api.settings import Settings
from api.sharing.turns import Turns
from runtime.http.exposition import Exposition, metrics_alone
from runtime.http.refusal import SECURITY_HEADERS
from runtime.http.server import configuration, serve
from runtime.kafka.brokers import Unreachable
from runtime.kafka.settings import KafkaSettings
from runtime.kafka.topics import create_topics
from runtime.tasks import cancel

log = structlog.get_logger()

_MOST_SCRAPERS = 50
_DESCRIPTION = """
Readings of smart meters and electric vehicles in, through Kafka; current state, history and energy
out. A reading is answered for (202) once Kafka's broker has acknowledged it. Windows are
start < recorded_at ≤ end. Whatever is no success is a problem document (RFC 9457). A query
parameter that is not known, or is given twice, is 422. HEAD is answered as GET. Bodies may be
compressed: `Content-Encoding` gzip, deflate or zstd. Every POST and PATCH has the `Content-Type`
application/json, with a body and without.
"""


def create_app(settings: Settings, *, for_metrics: socket.socket | None = None) -> FastAPI:
    """Return the application; its servers are looked for once it starts.

    While it runs `/metrics` is served where `for_metrics` listens, if that is given.
    """
    metrics = Metrics()
    database = Database(
        settings.pool, note_refused=lambda lane: metrics.refused.labels(f"lane_{lane}").inc()
    )
    metrics.watch(database)
    gateway = Gateway(kafka=settings.kafka, settings=settings.gateway)
    probes = Probes(settings.pool)
    parts = Parts(
        database=database,
        gateway=gateway,
        live=Live(database=database, metrics=metrics, settings=settings.live),
        turns=Turns(),
        figures=Figures(
            database=database, kafka=settings.kafka, group=settings.group.consumer_group
        ),
        metrics=metrics,
        exposition=Exposition(metrics.registry),
        readiness=Readiness({"database": probes.ping, "kafka": gateway.ping}),
        retention_days=settings.gateway.history_retention_days,
        registry=settings.registry,
    )

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(parts.database.opened())
            await stack.enter_async_context(parts.gateway.running())
            await stack.enter_async_context(parts.figures.opened())
            stack.push_async_callback(probes.aclose)
            await stack.enter_async_context(parts.readiness.looking())
            running = {
                "live": parts.live.run(),
                "figures": parts.figures.run(),
                "topics": _make_topics(settings.kafka, parts.gateway),
            }
            if for_metrics is not None:
                alone = metrics_alone(parts.exposition)
                running["metrics"] = serve(
                    configuration(
                        alone,
                        settings=settings.listen.model_copy(
                            update={"http_max_connections": _MOST_SCRAPERS}
                        ),
                        refused=metrics.refused,
                        lifespan="off",
                        headers=list(SECURITY_HEADERS.items()),
                    ),
                    for_metrics,
                    announced_as="metrics_listening",
                )
            for name, work in running.items():
                stack.push_async_callback(_end, asyncio.create_task(work, name=name))
            yield

    app = FastAPI(
        title="Wattline",
        version="1",
        description=_DESCRIPTION,
        lifespan=lifespan,
        # Its own would load from another machine; the page is in api/page.
        docs_url=None,
        redoc_url=None,
        # Its own would take any query; ours is among the routes of health.
        openapi_url=None,
        separate_input_output_schemas=False,
        dependencies=[Depends(check_query)],
        # A redirect has no body, and no client that sends readings follows it.
        redirect_slashes=False,
    )
    app.state.parts = parts
    app.state.rendered = {}
    explain_problems(app)
    for noun in (ingest, state, live, analytics, devices, assignments, sessions, health, page):
        app.include_router(noun.router)
    if settings.metrics.metrics_port is None:
        app.include_router(exposition.router)
    # The last one added stands first.
    app.add_middleware(NoCookies)
    app.add_middleware(QueryLimit)
    app.add_middleware(Head)
    app.add_middleware(Inflation)
    app.add_middleware(BodyLimit, settings=settings.body, paths=ingest.PATHS, metrics=metrics)
    app.add_middleware(Departure)
    app.add_middleware(SameSite, only_loopback=not settings.access.digests)
    app.add_middleware(Access, settings=settings.access, metrics=metrics)
    app.add_middleware(Observation, metrics=metrics)
    app.add_middleware(Proxies, trusted=settings.access.proxies)
    _complete_description(app)
    return app


def _complete_description(app: FastAPI) -> None:
    original = app.openapi

    def openapi() -> dict[str, object]:
        if app.openapi_schema is None:
            complete(original())
        return app.openapi_schema or {}

    app.openapi = openapi  # type: ignore[method-assign]  # the way that FastAPI documents


async def _make_topics(kafka: KafkaSettings, gateway: Gateway) -> None:
    """Make the topics where they are missing, however long the broker takes to answer."""

    def note(state: RetryCallState) -> None:
        error = state.outcome and state.outcome.exception()
        if isinstance(error, Unreachable):  # it names the setting, as librdkafka does not
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
