"""Where a service is listened to over HTTP, and uvicorn that leaves the signals to it."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager

import structlog
import uvicorn
from starlette.types import ASGIApp

from telemetry.settings import HttpSettings

log = structlog.get_logger()


class PortTaken(Exception):  # noqa: N818  as the operating system puts it
    """The settings of a host and a port name an address that cannot be listened on."""


class _Server(uvicorn.Server):
    """uvicorn within a service that handles the signals itself."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def listen(settings: HttpSettings, *, setting: str = "HTTP_PORT") -> socket.socket:
    """Return the listening socket; raises PortTaken, which names the setting of the port."""
    family = socket.AF_INET6 if ":" in settings.http_host else socket.AF_INET
    try:
        return socket.create_server((settings.http_host, settings.http_port), family=family)
    except OSError as error:
        address = f"{settings.http_host}:{settings.http_port}"
        raise PortTaken(f"{setting}: cannot listen on {address}: {error.strerror}") from error


def announce(listening: socket.socket, event: str = "http_listening") -> None:
    """Log where the service is to be found: the port may be one that was free."""
    host, port = listening.getsockname()[:2]
    log.info(event, host=host, port=port)


async def serve(
    app: ASGIApp, listening: socket.socket, *, announced_as: str = "http_listening"
) -> None:
    """Serve until cancelled."""
    announce(listening, announced_as)
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        lifespan="off",
        # Its own belief in X-Forwarded-For comes from the environment, and trusts loopback.
        proxy_headers=False,
    )
    await _Server(config).serve(sockets=[listening])
