"""Access: a known client with the right scope if any are set, and a rate for every caller."""

import asyncio
import base64
import binascii
import time
from datetime import UTC, datetime
from hashlib import sha256

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from api.identity.client import Client, scope_needed
from api.identity.clients import Ambiguous
from api.identity.known import Known
from api.metrics import Metrics
from api.middleware.caller import address_of, admit, name_caller
from api.middleware.rates import Rates, network_of
from api.problems import WRONG_SCOPE, Problem
from api.settings import AccessSettings
from runtime.http.scope import certificate_names, give_way

# Health checks are never refused. An address that asks too often waits for this long at most.
_HEALTH = {"/health", "/health/live", "/health/ready"}
_HEALTH_PAUSE_S = 0.1
# The description of the API and the files of its pages reveal nothing about any device.
_OPEN = {"/docs", "/openapi.json"}
_OPEN_FOLDER = "/static/"
# An immediate refusal would cost as much as an answer; one that waits slows the caller down.
_PAUSE_S = 1.0


class Access:
    """Lets a request through, or answers 401, 403 or 429 before its body is read.

    Each client has a rate. Each address has one for its requests without a known client, whether
    they need none or are refused. A known client is never refused for its address, and health
    is never refused at all.
    """

    def __init__(
        self, app: ASGIApp, *, settings: AccessSettings, known: Known, metrics: Metrics
    ) -> None:
        self._app = app
        self._known = known
        self._rates = Rates(settings.rate_limit_per_minute)
        self._address_rates = Rates(settings.address_rate_limit_per_minute)
        self._health_rates = Rates(settings.address_rate_limit_per_minute)
        self._refused = metrics.refused

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        try:
            await self._admit(scope)
        except Problem as problem:
            await problem.response()(scope, receive, send)
            return
        await self._app(scope, receive, send)

    async def _admit(self, scope: Scope) -> None:
        path = scope["path"]
        client, refusal = self._identify(scope)
        caller = name_caller(scope, client)
        now = time.monotonic()
        network = network_of(address_of(scope))
        if path in _HEALTH:
            if not self._health_rates.admits(network, now):
                give_way(scope)
                await asyncio.sleep(_HEALTH_PAUSE_S)
            return
        is_open = path in _OPEN or path.startswith(_OPEN_FOLDER)
        if client is not None or not (self._known.are_needed or is_open):
            if not self._rates.admits(caller, now):
                raise self._too_many(self._rates, "rate")
            if client is not None and not is_open:
                _check_scope(scope, client)
                admit(scope, client)
            return
        if not self._address_rates.admits(network, now):
            problem = self._too_many(self._address_rates, "address_rate")
            give_way(scope)
            await asyncio.sleep(_PAUSE_S)
            raise problem
        if not is_open:
            # Basic makes a browser ask its user for a password.
            scheme = "Bearer" if path.startswith("/v1/") else 'Basic realm="Wattline"'
            raise Problem(401, refusal, headers={"WWW-Authenticate": scheme})

    def _too_many(self, rates: Rates, bound: str) -> Problem:
        self._refused.labels(bound).inc()
        detail = f"more than {rates.per_minute} requests a minute"
        return Problem(429, detail, headers={"Retry-After": "1"})

    def _identify(self, scope: Scope) -> tuple[Client | None, str]:
        """Return who sends the request, or None and why it is nobody who is known."""
        refusal = "an API key is needed"
        if not self._known.are_needed:
            return None, refusal
        credentials = Headers(scope=scope).getlist("authorization")
        # Of two headers, a proxy may have checked the other one.
        digest = _digest(credentials[0]) if len(credentials) == 1 else None
        if credentials and digest is None:
            return None, refusal
        try:
            client = self._known.clients.found(digest, certificate_names(scope))
        except Ambiguous:
            return None, "the key and the client's certificate belong to different clients"
        if client is not None and client.has_expired(datetime.now(UTC)):
            return None, f"the access of client {client.name} ended at {client.expires:%F %T}Z"
        return client, refusal


def _check_scope(scope: Scope, client: Client) -> None:
    """Raise Problem (403) unless the client has the scope that the request needs."""
    needed = scope_needed(scope["method"], scope["path"])
    if needed not in client.scopes:
        raise Problem(
            403,
            f"this needs the scope {needed}, which client {client.name} lacks",
            kind=WRONG_SCOPE,
        )


def _digest(authorization: str) -> bytes | None:
    """Return the SHA-256 of the key, a bearer token or the password of Basic; None if blank."""
    scheme, _, credentials = authorization.partition(" ")
    key = b""
    if scheme.lower() == "bearer":
        key = credentials.strip().encode()
    elif scheme.lower() == "basic":
        try:
            key = base64.b64decode(credentials, validate=True).partition(b":")[2]
        except (binascii.Error, ValueError):
            return None
    return sha256(key).digest() if key.strip() else None
