"""Health and metrics of this replica over HTTP."""

from collections.abc import Callable

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from consumer.metrics import Metrics
from runtime.http.exposition import Exposition

Readiness = Callable[[], dict[str, bool]]
WaitsFor = Callable[[], str | None]


def application(
    *, metrics: Metrics, readiness: Readiness, waits_for: WaitsFor = lambda: None
) -> Starlette:
    """Return the pages; `readiness` returns by name each check that must hold to be ready.

    `waits_for` returns a line if the replica waits for something that an operator has to do.
    """

    async def live(_: Request) -> JSONResponse:
        return JSONResponse({"status": "live"})

    async def ready(_: Request) -> JSONResponse:
        checks = readiness()
        is_ready = all(checks.values())
        waiting = waits_for()
        told = {} if waiting is None else {"waits_for": waiting}
        return JSONResponse(
            {"status": "ready" if is_ready else "not ready", "checks": checks, **told},
            status_code=200 if is_ready else 503,
        )

    exposition = Exposition(metrics.registry)

    async def measured(request: Request) -> Response:
        metrics.ready.set(all(readiness().values()))
        return await exposition.answer(request)

    app = Starlette(
        routes=[
            Route("/health/live", live),
            Route("/health/ready", ready),
            Route("/metrics", measured),
        ]
    )
    # A probe may count a redirect as a success.
    app.router.redirect_slashes = False
    return app
