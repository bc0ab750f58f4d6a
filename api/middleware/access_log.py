"""The access log: a line, two metrics and the headers for browsers, for every answer."""

import time

import structlog
from starlette.datastructures import MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.identity.known import Known
from api.metrics import Metrics
from api.middleware.caller import NOBODY, caller_of, client_name
from api.problems import Problem
from runtime.http.problem import SECURITY_HEADERS
from runtime.http.scope import CLIENT_GONE, cut_off

log = structlog.get_logger()

_METHODS = {"GET", "HEAD", "POST", "PATCH", "PUT", "DELETE", "OPTIONS"}
# Monitors ask for these every few seconds.
_UNLOGGED = ("/health", "/metrics")
# Their duration says how slow the client was, not how slow the answer.
_OF_THE_CLIENT = (408, CLIENT_GONE)
_LONGEST_PATH = 200


class AccessLog:
    """Logs and counts requests by their route, never by the device that they are about.

    It is the last resort, too: any exception becomes a 500 that reveals nothing of the inside.
    """

    def __init__(self, app: ASGIApp, *, metrics: Metrics, known: Known) -> None:
        self._app = app
        self._metrics = metrics
        self._known = known

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun = time.monotonic()
        status = 500
        is_begun = is_endless = has_failed = False

        async def observed(message: Message) -> None:
            nonlocal status, is_begun, is_endless
            if message["type"] == "http.response.start":
                status, is_begun = message["status"], True
                headers = MutableHeaders(scope=message)
                is_endless = headers.get("content-type", "").startswith("text/event-stream")
                for name, value in SECURITY_HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        try:
            await self._app(scope, receive, observed)
        except ClientDisconnect:  # the client has left, and nothing is wrong here
            status = CLIENT_GONE
        except Exception:  # whatever a handler raises: it is logged, and the client gets a 500
            has_failed = True
            path = scope["path"][:_LONGEST_PATH]
            log.exception("request_failed", path=path, caller=caller_of(scope))
            if is_begun:
                raise  # cut the connection, so that half an answer is not taken for a whole one
            problem = Problem(500, "something went wrong here; it has been logged")
            await problem.response()(scope, receive, observed)
        finally:
            # A stream without an end is meant to be left by its client: that is not cut off.
            if not has_failed and not is_endless:
                status = cut_off(scope) or status
            self._note(scope, status, time.monotonic() - begun)

    def _note(self, scope: Scope, status: int, seconds: float) -> None:
        route = getattr(scope.get("route"), "path", "none")
        method = scope["method"] if scope["method"] in _METHODS else "other"
        self._metrics.requests.labels(method, route, status).inc()
        caller = caller_of(scope)
        client = client_name(caller)
        # One that has just been removed would keep its series for ever.
        client = client if client in self._known.clients.names else NOBODY
        self._metrics.clients_requests.labels(client, f"{status // 100}xx").inc()
        if status not in _OF_THE_CLIENT:
            self._metrics.request_seconds.labels(method, route).observe(seconds)
        if not scope["path"].startswith(_UNLOGGED):
            log.info(
                "request_answered",
                method=method,
                route=route,
                status=status,
                milliseconds=round(1_000 * seconds, 1),
                caller=caller,
            )
