"""The application, from the outside in: the middleware in its order, then the routes."""

import socket
from contextlib import AbstractAsyncContextManager

from fastapi import Depends, FastAPI
from starlette.middleware import Middleware

from api.lifespan import running
from api.middleware.access import Access
from api.middleware.access_log import AccessLog
from api.middleware.as_of import AsOf
from api.middleware.body_limit import BodyLimit
from api.middleware.cookies import NoCookies
from api.middleware.departure import Departure
from api.middleware.devices import check_devices
from api.middleware.head import Head
from api.middleware.inflation import Inflation
from api.middleware.proxies import Proxies
from api.middleware.query import QueryLimit, check_query
from api.middleware.same_site import SameSite
from api.openapi import complete
from api.page import routes as page
from api.parts import Parts
from api.problems import explain_problems
from api.routes import (
    analytics,
    assignments,
    batches,
    description,
    devices,
    exposition,
    health,
    ingest,
    live,
    sessions,
    state,
)
from api.settings import Settings

_DESCRIPTION = """
Takes readings of smart meters and electric vehicles and hands them to Kafka; answers with current
state, history and energy. A reading is accepted (202) once Kafka's broker has acknowledged it.
Windows are start < recorded_at ≤ end. Every answer that is not a success is a problem document
(RFC 9457). An unknown query parameter, or one that is given twice, is 422. HEAD is answered as GET.
Bodies may be compressed: `Content-Encoding` gzip, deflate or zstd. Every POST and PATCH needs the
`Content-Type` application/json, even without a body.
"""


def create_app(settings: Settings, *, for_metrics: socket.socket | None = None) -> FastAPI:
    """Return the application; it connects to its servers once it is started.

    If `for_metrics` is given, the running application serves `/metrics` on that socket.
    """
    parts = Parts.of(settings)

    def lifespan(_: FastAPI) -> AbstractAsyncContextManager[None]:
        return running(parts, settings, for_metrics=for_metrics)

    app = FastAPI(
        title="Wattline",
        version="1",
        description=_DESCRIPTION,
        lifespan=lifespan,
        middleware=_middleware(settings, parts),
        dependencies=[Depends(check_query), Depends(check_devices)],
        # FastAPI's own page loads scripts from another machine; ours is in api/page.
        docs_url=None,
        redoc_url=None,
        # FastAPI's own route takes any query; ours is `api.routes.description`.
        openapi_url=None,
        separate_input_output_schemas=False,
        # A redirect has no body, and clients that send readings do not follow it.
        redirect_slashes=False,
    )
    app.state.parts = parts
    app.state.rendered = {}
    explain_problems(app, as_page=page.problem_page)
    for noun in (
        ingest, state, live, analytics, devices, assignments, batches, sessions, health,
        description, page,
    ):  # fmt: skip
        app.include_router(noun.router)
    if settings.metrics.metrics_port is None:
        app.include_router(exposition.router)
    _complete_description(app)
    return app


def _middleware(settings: Settings, parts: Parts) -> list[Middleware]:
    """Return what a request passes through before its route, the first one first."""
    access, metrics, known = settings.access, parts.metrics, parts.known
    # Only a replica's answers may be old.
    dated = [Middleware(AsOf)] if settings.pool.database_read_url is not None else []
    return [
        # First: all others see the client's own address, scheme and host.
        Middleware(Proxies, trusted=access.proxies),
        # Around all that may refuse, so that every answer is logged, counted and has its headers.
        Middleware(AccessLog, metrics=metrics, known=known),
        # Before anything is done for a client that has no key, or asks too often.
        Middleware(Access, settings=access, known=known, metrics=metrics),
        # Before the body is read for a page of another site.
        Middleware(SameSite, only_loopback=not access.needs_keys),
        # Outside of all that waits, so that it can cancel it when the client leaves.
        Middleware(Departure),
        # Before all that reads a body.
        Middleware(
            BodyLimit, settings=settings.body, paths=ingest.PATHS | batches.PATHS, metrics=metrics
        ),
        # After the limit, whose count of what a request holds it adds to.
        Middleware(Inflation),
        # After Departure: an answer without an end stops at its head.
        Middleware(Head),
        # Before FastAPI parses the query.
        Middleware(QueryLimit),
        # Before FastAPI parses the cookies.
        Middleware(NoCookies),
        *dated,
    ]


def _complete_description(app: FastAPI) -> None:
    original = app.openapi

    def openapi() -> dict[str, object]:
        if app.openapi_schema is None:
            complete(original())
        return app.openapi_schema or {}

    app.openapi = openapi  # type: ignore[method-assign]  # the way that FastAPI documents
