"""What every answer leaves behind: a line in the log, two metrics, and headers for browsers."""

import time

import structlog
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.metrics import Metrics
from api.problems import Problem

log = structlog.get_logger()

_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Content-Security-Policy": (
        "default-src 'self'; img-src 'self' data:; frame-ancestors 'none'; base-uri 'none';"
        " form-action 'self'"
    ),
}
_METHODS = {"GET", "HEAD", "POST", "PATCH", "PUT", "DELETE", "OPTIONS"}
# Asked for every few seconds by those who watch.
_UNLOGGED = ("/health", "/metrics")


class Observation:
    """Logs and counts requests by their route, never by the device that they are about."""

    def __init__(self, app: ASGIApp, *, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun = time.monotonic()
        status = 500
        is_begun = False

        async def observed(message: Message) -> None:
            nonlocal status, is_begun
            if message["type"] == "http.response.start":
                status, is_begun = message["status"], True
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        try:
            await self._app(scope, receive, observed)
        except Exception:  # the last resort: nothing of the inside gets out
            log.exception("request_failed", path=scope["path"])
            if is_begun:
                raise  # the connection is cut, so that half an answer is not taken for a whole
            problem = Problem(500, "something went wrong here; it has been logged")
            await problem.response()(scope, receive, observed)
        finally:
            seconds = time.monotonic() - begun
            route = getattr(scope.get("route"), "path", "none")
            method = scope["method"] if scope["method"] in _METHODS else "other"
            self._metrics.requests.labels(method, route, status).inc()
            self._metrics.request_seconds.labels(method, route).observe(seconds)
            if not scope["path"].startswith(_UNLOGGED):
                log.info(
                    "request_answered",
                    method=method,
                    route=route,
                    status=status,
                    milliseconds=round(1_000 * seconds, 1),
                )
