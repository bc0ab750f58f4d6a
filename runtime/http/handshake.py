"""A connection with TLS: one of the crowd from its first byte on, not from its handshake on.

The loop's own TLS tells a protocol of a connection once its handshake is over. So nobody would see
clients that do not finish theirs, and what the transport below has not sent would not count.
"""

import asyncio
from asyncio.sslproto import SSLProtocol
from collections.abc import Callable
from functools import partial
from typing import Any, cast

import structlog
from uvicorn import Config
from uvicorn.protocols.utils import get_remote_addr
from uvicorn.server import ServerState

from runtime.http.certificate import Certificate, names_in
from runtime.http.connection import Connection
from runtime.http.crowd import Crowd
from runtime.http.patience import Owed, Wait
from runtime.http.refusal import Bound, Refusal
from runtime.http.scope import CERTIFICATE

log = structlog.get_logger()

# asyncio has to be told some time. The crowd looks at each connection, and ends it sooner.
_NEVER_S = 86_400
_MOST_UNSENT = 64 << 10


class Secured(Connection):
    """A connection whose bytes pass through TLS."""

    handshake: "Handshake"

    @property
    def unsent(self) -> int:
        return super().unsent + self.handshake.unsent

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.handshake.end()
        names = names_in(transport.get_extra_info("peercert"))
        self.app_state = self.app_state | {CERTIFICATE: names}
        cast("asyncio.Transport", transport).set_write_buffer_limits(high=_MOST_UNSENT)
        super().connection_made(transport)

    def waits_for(self) -> Wait | None:
        # TLS is ended by a last word of the client's, which may never come.
        if self.transport.is_closing() and not self.unsent:
            return Wait(Owed.LEAVING, 0)
        return super().waits_for()


class Handshake(SSLProtocol):
    """TLS between a transport and a connection; a member of the crowd until both sides agree."""

    crowd: Crowd
    certificate: Certificate
    connections: type[Secured]
    # Allocated for each connection; the default of 256 KiB is meant for few of them.
    max_size = 8 << 10

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        make = partial(self.connections, config, server_state, app_state, _loop)
        super().__init__(
            asyncio.get_running_loop(),
            _Opening(self, make),
            self.certificate.context,
            cast("asyncio.Future[Any]", None),  # nobody waits for it
            server_side=True,
            ssl_handshake_timeout=_NEVER_S,
            ssl_shutdown_timeout=_NEVER_S,
        )
        # uvicorn shuts these down when it ends; otherwise it would wait for them.
        self._all = cast("set[Handshake]", server_state.connections)
        self.address = "-"
        self.is_refused = False
        self.is_over = False
        self.worth = 0
        self._has_begun = False
        self._seconds = 0.0
        self._below: asyncio.Transport | None = None
        self._failure: BaseException | None = None

    @property
    def unsent(self) -> int:
        """How many bytes the transport below has not sent."""
        return self._below.get_write_buffer_size() if self._below is not None else 0

    # What the transport calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._below = cast("asyncio.Transport", transport)
        self._all.add(self)
        client = get_remote_addr(self._below)
        if client:
            self.address = client[0]
        self.crowd.join(self)
        if not self.is_refused:
            super().connection_made(transport)

    def buffer_updated(self, nbytes: int) -> None:
        self._has_begun = True
        super().buffer_updated(nbytes)

    def connection_lost(self, exc: BaseException | None) -> None:
        self._below = None
        if not self.is_over:
            self.end()
            # A probe that only connects has not failed.
            if self._has_begun and not self.is_refused:
                self.crowd.count(Bound.HANDSHAKE)
                failure = self._failure or exc
                reason = getattr(failure, "reason", None) or type(failure).__name__
                log.debug("http_handshake_failed", address=self.address, reason=reason)
        super().connection_lost(exc)

    def _fatal_error(self, exc: BaseException, message: str = "Fatal error on transport") -> None:
        alert = b"" if self.is_over else self._outgoing.read()  # type: ignore[attr-defined]  # typeshed lacks it
        if alert and self._below is not None:
            # asyncio would drop it, and the client would not learn what is wrong.
            self._failure = exc
            self._below.write(alert)
            self._below.close()
        else:
            super()._fatal_error(exc, message)

    def end(self) -> None:
        """Note that the handshake is over: there is a connection, or there will be none."""
        self.is_over = True
        self.crowd.leave(self)
        self._all.discard(self)

    # What the crowd and uvicorn call, until the handshake is over

    def look(self, seconds: float) -> None:
        """End it if the client takes too long; `seconds` since the last look."""
        self._seconds += seconds
        if self._seconds > self.crowd.settings.http_head_timeout_s:
            self.crowd.count(Bound.HANDSHAKE_TIMEOUT)
            self.abort()

    def refuse(self, refusal: Refusal) -> None:
        """Close it: before the handshake there is no way to say why."""
        self.crowd.count(refusal.bound)
        self.abort()

    def shutdown(self) -> None:
        """End it, since the server ends."""
        self.abort()

    def abort(self) -> None:
        """Cut it off."""
        self.is_refused = True
        if self._below is not None:
            self._below.abort()


class _Opening(asyncio.Protocol):
    """Makes the connection once the handshake is over: those that never are take less memory."""

    def __init__(self, handshake: Handshake, make: Callable[[], Secured]) -> None:
        self._handshake = handshake
        self._make = make

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        connection = self._make()
        connection.handshake = self._handshake
        transport.set_protocol(connection)
        connection.connection_made(transport)


def secured(crowd: Crowd, certificate: Certificate) -> type[asyncio.Protocol]:
    """Return the class that uvicorn makes the connections of a crowd from, with TLS."""

    class SecuredOfTheCrowd(Secured):
        pass

    class HandshakeOfTheCrowd(Handshake):
        pass

    SecuredOfTheCrowd.crowd = HandshakeOfTheCrowd.crowd = crowd
    HandshakeOfTheCrowd.certificate = certificate
    HandshakeOfTheCrowd.connections = SecuredOfTheCrowd
    return cast("type[asyncio.Protocol]", HandshakeOfTheCrowd)
