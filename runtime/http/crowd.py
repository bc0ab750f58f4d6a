"""All connections to a server: a bound on their number, and a look at each once a second.

Times are added up look by look. So a pause of the loop itself, or of the whole machine, is not
counted against a client whose bytes wait to be read.
"""

import asyncio
from collections import Counter as Tally
from http import HTTPStatus
from typing import Protocol

from prometheus_client import Counter, Gauge

from runtime.http.refusal import Bound, Refusal
from runtime.http.settings import HttpSettings

_LOOK_S = 1.0
_LOOKS_IN_A_TIMEOUT = 4
_SHARE_OF_DESCRIPTORS = 2
"""One descriptor in two may be a connection's: PostgreSQL, Kafka and files need the others."""


class Member(Protocol):
    """One connection, as the crowd knows it."""

    address: str
    is_refused: bool

    @property
    def worth(self) -> int | None:
        """How much would be lost with it, from 0 up; None while an answer is made or taken."""

    def look(self, seconds: float) -> None:
        """End it if the client has kept it waiting for too long; `seconds` since the last look."""

    def refuse(self, refusal: Refusal) -> None:
        """Answer in place of the application, and close."""

    def abort(self) -> None:
        """Cut it off."""


class Crowd:
    """The open connections, in order: the one that has waited longest for its client comes first.

    When all places are taken, a new connection takes the place of one that waits for its client. So
    clients that only hold places cannot keep out clients that ask. If no connection waits, the new
    one is refused.
    """

    def __init__(
        self,
        *,
        settings: HttpSettings,
        descriptors: int,
        refused: Counter,
        connections: Gauge | None = None,
    ) -> None:
        self.settings = settings
        self.most = min(settings.http_max_connections, descriptors // _SHARE_OF_DESCRIPTORS)
        self._most_of_an_address = settings.http_max_connections_per_address
        self._open: dict[Member, None] = {}
        self._addresses: Tally[str] = Tally()
        self._refused = refused
        for bound in Bound:  # shown from the start, so that a rate over them begins at zero
            refused.labels(bound)
        if connections is not None:
            connections.set_function(lambda: len(self._open))
        shortest = min(
            settings.http_head_timeout_s,
            settings.http_body_timeout_s,
            settings.http_idle_timeout_s,
            settings.http_write_timeout_s,
        )
        self._period = min(_LOOK_S, shortest / _LOOKS_IN_A_TIMEOUT)
        self._looked_at = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._open)

    def count(self, bound: Bound) -> None:
        """Count that a bound has turned a request or a connection away."""
        self._refused.labels(bound).inc()

    def join(self, connection: Member) -> None:
        """Take in a new connection, in the place of another if need be, or refuse it."""
        self._open[connection] = None
        address = connection.address
        self._addresses[address] += 1
        if self._timer is None:
            loop = asyncio.get_running_loop()
            self._looked_at = loop.time()
            self._timer = loop.call_later(self._period, self._look)
        if self._most_of_an_address and not self._is_room_for(
            connection, address, self._most_of_an_address
        ):
            detail = f"at most {self._most_of_an_address} connections from an address"
            connection.refuse(Refusal(Bound.ADDRESS, HTTPStatus.SERVICE_UNAVAILABLE, detail))
        elif not self._is_room_for(connection, None, self.most):
            detail = f"at most {self.most} connections at a time"
            connection.refuse(Refusal(Bound.CONNECTIONS, HTTPStatus.SERVICE_UNAVAILABLE, detail))

    def note_answered(self, connection: Member) -> None:
        """Note that a connection waits for its client from now on."""
        if connection in self._open:
            del self._open[connection]
            self._open[connection] = None

    def leave(self, connection: Member) -> None:
        """Forget a connection that has ended or is being ended."""
        if connection in self._open:
            del self._open[connection]
            self._addresses[connection.address] -= 1
            if not self._addresses[connection.address]:
                del self._addresses[connection.address]

    def _is_room_for(self, new: Member, address: str | None, most: int) -> bool:
        """Return whether there is room among those of an address, or all; make it if need be."""
        while (self._addresses[address] if address else len(self._open)) > most:
            old = self._least_of_others(new, address)
            if old is None:
                return False
            if not old.is_refused:
                self.count(Bound.ADDRESS if address else Bound.CONNECTIONS)
            self.leave(old)
            old.abort()
        return True

    def _least_of_others(self, new: Member, address: str | None) -> Member | None:
        """Return the one to end: of those worth least, the one that has waited longest."""
        found = None
        for one in self._open:
            if one is new or address not in (None, one.address) or one.worth is None:
                continue
            if not one.worth:
                return one
            if found is None or one.worth < (found.worth or 0):
                found = one
        return found

    def _look(self) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        seconds = min(now - self._looked_at, 2 * self._period)
        self._looked_at = now
        for connection in list(self._open):
            connection.look(seconds)
        self._timer = loop.call_later(self._period, self._look) if self._open else None
