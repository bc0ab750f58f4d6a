"""The HTTP server of a service: its listening socket, and uvicorn within the bounds."""

import math
import resource
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import structlog
import uvicorn
from prometheus_client import Counter, Gauge
from starlette.types import ASGIApp

from runtime.http.certificate import Certificate
from runtime.http.connection import protocol
from runtime.http.crowd import Crowd
from runtime.http.handshake import secured
from runtime.http.settings import HttpSettings

log = structlog.get_logger()

_MOST_QUEUED = 2_048
_SHARE_QUEUED = 4
"""The kernel may queue new connections for a quarter of the descriptors."""


class PortTaken(Exception):  # noqa: N818  as the operating system puts it
    """The address that the settings name cannot be listened on."""


class _Server(uvicorn.Server):
    """uvicorn without its signal handlers: the service has its own."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def listen(settings: HttpSettings, *, setting: str = "HTTP_PORT") -> socket.socket:
    """Return the listening socket; raises PortTaken, whose message names the port's setting."""
    family = socket.AF_INET6 if ":" in settings.http_host else socket.AF_INET
    try:
        return socket.create_server((settings.http_host, settings.http_port), family=family)
    except OSError as error:
        address = f"{settings.http_host}:{settings.http_port}"
        raise PortTaken(f"{setting}: cannot listen on {address}: {error.strerror}") from error


def announce(listening: socket.socket, event: str = "http_listening") -> None:
    """Log the address of the service: with port 0 a free port was picked."""
    host, port = listening.getsockname()[:2]
    log.info(event, host=host, port=port)


def configuration(
    app: ASGIApp,
    *,
    settings: HttpSettings,
    refused: Counter,
    connections: Gauge | None = None,
    certificate: Certificate | None = None,
    **more: Any,
) -> uvicorn.Config:
    """Return uvicorn's configuration for the application, within the bounds of the settings.

    `refused` counts by the label `bound` what the bounds turn away; `connections` shows how many
    are open. With a certificate every connection needs TLS. `more` are uvicorn's own settings.
    """
    descriptors = _raise_descriptors()
    crowd = Crowd(
        settings=settings, descriptors=descriptors, refused=refused, connections=connections
    )
    if crowd.most < settings.http_max_connections:
        log.warning("http_max_connections_lowered", to=crowd.most, descriptors=descriptors)
    return uvicorn.Config(
        app,
        http=protocol(crowd) if certificate is None else secured(crowd, certificate),
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        # uvicorn's own handling of X-Forwarded-For trusts loopback, and variables of its own.
        proxy_headers=False,
        backlog=min(_MOST_QUEUED, descriptors // _SHARE_QUEUED),
        timeout_keep_alive=math.ceil(settings.http_idle_timeout_s),
        **more,
    )


async def serve(
    config: uvicorn.Config, listening: socket.socket, *, announced_as: str = "http_listening"
) -> None:
    """Serve until cancelled."""
    announce(listening, announced_as)
    await _Server(config).serve(sockets=[listening])


def _raise_descriptors() -> int:
    """Raise this process' limit of descriptors as far as allowed, and return it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    except (OSError, ValueError) as error:  # the kernel's own limit may be lower
        log.warning("descriptors_not_raised", descriptors=soft, error=str(error))
        hard = soft
    return sys.maxsize if hard == resource.RLIM_INFINITY else hard
