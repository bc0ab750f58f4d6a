"""Who may ask: an API key where there are any, and a rate for each client."""

import base64
import binascii
import hmac
from hashlib import sha256

from limits import RateLimitItemPerMinute
from limits.aio.storage import MemoryStorage
from limits.aio.strategies import SlidingWindowCounterRateLimiter
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from api.caller import name_caller
from api.problems import Problem
from api.settings import AccessSettings

# Health, metrics and the description of the API tell nothing about any device.
_OPEN = ("/health", "/metrics", "/docs", "/openapi.json", "/static/")


class Access:
    """Lets a request through, or answers 401 or 429 before anything of its body is read."""

    def __init__(self, app: ASGIApp, *, settings: AccessSettings) -> None:
        self._app = app
        self._digests = settings.digests
        self._limit = (
            RateLimitItemPerMinute(settings.rate_limit_per_minute)
            if settings.rate_limit_per_minute
            else None
        )
        self._limiter = SlidingWindowCounterRateLimiter(MemoryStorage())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"].startswith(_OPEN):
            await self._app(scope, receive, send)
            return
        try:
            await self._admit(scope)
        except Problem as problem:
            await problem.response()(scope, receive, send)
            return
        await self._app(scope, receive, send)

    async def _admit(self, scope: Scope) -> None:
        digest = None
        if self._digests:
            digest = _digest(Headers(scope=scope).get("authorization", ""))
            if digest is None or not self._is_known(digest):
                # A browser asks its user for a password where it is told of Basic.
                scheme = "Bearer" if scope["path"].startswith("/v1/") else 'Basic realm="Wattline"'
                raise Problem(401, "an API key is needed", headers={"WWW-Authenticate": scheme})
        client = name_caller(scope, digest=digest)
        if self._limit is not None and not await self._limiter.hit(self._limit, client):
            raise Problem(
                429,
                f"more than {self._limit.amount} requests a minute",
                headers={"Retry-After": "1"},
            )

    def _is_known(self, digest: bytes) -> bool:
        # All of them are compared, so that the time taken tells nothing.
        return any([hmac.compare_digest(digest, known) for known in self._digests])  # noqa: C419


def _digest(authorization: str) -> bytes | None:
    """Return the SHA-256 of the key: a bearer token, or the password of Basic."""
    scheme, _, credentials = authorization.partition(" ")
    if scheme.lower() == "bearer":
        return sha256(credentials.strip().encode()).digest()
    if scheme.lower() == "basic":
        try:
            decoded = base64.b64decode(credentials, validate=True)
        except (binascii.Error, ValueError):
            return None
        return sha256(decoded.partition(b":")[2]).digest()
    return None
