"""Health and metrics of this replica over HTTP."""

from collections.abc import Callable

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from consumer.metrics import Metrics
from runtime.http.exposition import Exposition

Readiness = Callable[[], dict[str, bool]]


def application(*, metrics: Metrics, readiness: Readiness) -> Starlette:
    """Return the pages; `readiness` returns by name each check that must hold to be ready."""

    async def live(_: Request) -> JSONResponse:
        return JSONResponse({"status": "live"})

    async def ready(_: Request) -> JSONResponse:
        checks = readiness()
        is_ready = all(checks.values())
        return JSONResponse(
            {"status": "ready" if is_ready else "not ready", "checks": checks},
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
