"""Health and metrics of this replica over HTTP."""

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import structlog
import uvicorn
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from consumer.errors import PortTaken
from consumer.metrics import Metrics
from consumer.settings import HttpSettings

log = structlog.get_logger()

Readiness = Callable[[], dict[str, bool]]


class _Server(uvicorn.Server):
    """uvicorn within a service that handles the signals itself."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def listen(settings: HttpSettings) -> socket.socket:
    """Return the listening socket; raises PortTaken."""
    family = socket.AF_INET6 if ":" in settings.http_host else socket.AF_INET
    try:
        return socket.create_server((settings.http_host, settings.http_port), family=family)
    except OSError as error:
        address = f"{settings.http_host}:{settings.http_port}"
        raise PortTaken(f"HTTP_PORT: cannot listen on {address}: {error.strerror}") from error


def application(*, metrics: Metrics, readiness: Readiness) -> Starlette:
    """Return the pages: `readiness` names what must hold for this replica to be ready."""

    async def live(_: Request) -> JSONResponse:
        return JSONResponse({"status": "live"})

    async def ready(_: Request) -> JSONResponse:
        checks = readiness()
        is_ready = all(checks.values())
        return JSONResponse(
            {"status": "ready" if is_ready else "not ready", "checks": checks},
            status_code=200 if is_ready else 503,
        )

    async def exposition(_: Request) -> Response:
        return Response(generate_latest(metrics.registry), media_type=CONTENT_TYPE_LATEST)

    return Starlette(
        routes=[
            Route("/health/live", live),
            Route("/health/ready", ready),
            Route("/metrics", exposition),
        ]
    )


async def serve(app: Starlette, listening: socket.socket) -> None:
    """Serve until cancelled."""
    host, port = listening.getsockname()[:2]
    log.info("http_listening", host=host, port=port)
    config = uvicorn.Config(app, log_config=None, access_log=False, lifespan="off")
    await _Server(config).serve(sockets=[listening])
