"""The size of bodies: a bound for each request, and a budget for all requests together.

Bytes are counted as they come, whatever length the request claims. They are given back once it is
answered, or its client has gone.
"""

from collections.abc import Container
from typing import cast

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.metrics import Metrics
from api.middleware.caller import caller_of
from api.problems import Problem
from api.settings import BodySettings
from api.shares import NoneLeft, Shares, ShareTaken

MOST_BYTES = 8 << 20
MOST_FORM_BYTES = 16 << 10
"""The body of a device, an assignment or a session."""


class Held:
    """The bytes that one request holds of the budget; `most` is what it may send."""

    def __init__(self, scope: Scope, *, most: int, shares: Shares, metrics: Metrics) -> None:
        self.most = most
        self._caller = caller_of(scope)
        self._shares = shares
        self._metrics = metrics
        self._bytes = 0

    def add(self, count: int) -> None:
        """Hold `count` more bytes; raises Problem (429 over the caller's share, 503 over all)."""
        try:
            self._shares.take(self._caller, count)
        except ShareTaken as error:
            raise self._refused(429, "one client's requests hold too many bytes") from error
        except NoneLeft as error:
            raise self._refused(503, "all requests together hold too many bytes") from error
        self._bytes += count

    def free(self) -> None:
        self._shares.free(self._caller, self._bytes)
        self._bytes = 0

    def too_large(self, *, inflated: bool = False) -> Problem:
        """Return the problem (413) of a body that is larger than it may be."""
        self._metrics.refused.labels("body").inc()
        suffix = ", once they are inflated" if inflated else ""
        return Problem(413, f"at most {self.most} bytes in a request{suffix}")

    def _refused(self, status: int, detail: str) -> Problem:
        self._metrics.refused.labels("body_budget").inc()
        return Problem(status, detail, headers={"Retry-After": "1"})


class BodyLimit:
    """Answers 413: before the body is read if its length is given, else once it is too long.

    Hands on each body in one piece. `paths` are the paths that take large bodies.
    """

    def __init__(
        self, app: ASGIApp, *, settings: BodySettings, paths: Container[str], metrics: Metrics
    ) -> None:
        self._app = app
        self._paths = paths
        self._metrics = metrics
        self._shares = Shares(
            most=settings.body_budget_bytes, most_each=settings.body_budget_client_bytes
        )
        metrics.body_bytes.set_function(lambda: self._shares.taken)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        most = MOST_BYTES if scope["path"] in self._paths else MOST_FORM_BYTES
        held = Held(scope, most=most, shares=self._shares, metrics=self._metrics)
        length = Headers(scope=scope).get("content-length", "")
        if length.isdecimal() and int(length) > most:
            await held.too_large().response()(scope, receive, send)
            return
        scope["held_body"] = held
        try:
            await self._app(scope, _gathered(receive, held), send)
        finally:
            held.free()


def held_body(scope: Scope) -> Held:
    """Return the bytes that the request holds, as `BodyLimit` noted them."""
    return cast("Held", scope["held_body"])


def has_body(headers: Headers) -> bool:
    """Return whether a request with these headers sends a body."""
    return headers.get("content-length", "0") != "0" or "transfer-encoding" in headers


def _gathered(receive: Receive, held: Held) -> Receive:
    """Receive the body in one piece: thousands of small pieces take far more memory."""
    is_read = False

    async def gathered() -> Message:
        nonlocal is_read
        if is_read:
            return await receive()
        body = bytearray()
        while not is_read:
            message = await receive()
            if message["type"] != "http.request":
                return message
            piece = message.get("body", b"")
            if len(body) + len(piece) > held.most:
                raise held.too_large()
            held.add(len(piece))
            body += piece
            is_read = not message.get("more_body", False)
        return {"type": "http.request", "body": bytes(body), "more_body": False}

    return gathered
