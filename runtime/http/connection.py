"""One connection to a server: uvicorn's, with an end to all that a client may keep it waiting with.

uvicorn's parser takes a head of any length, counts no time, and queues what is asked before it is
answered without an end; and of several requests that wait it tells only the last that the client
has gone.
"""

import asyncio
from enum import StrEnum
from http import HTTPStatus
from typing import Any, NamedTuple, cast

import httptools
from starlette.types import Scope
from uvicorn import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from runtime.http.crowd import Crowd
from runtime.http.refusal import Bound, Refusal

CLIENT_GONE = 499
"""No status of HTTP: what nginx and others log for a client that did not wait for its answer."""
_CUT_OFF, _GIVES_WAY = "cut_off", "gives_way"
_MOST_PIPELINED = 8
_LEAST_TAKEN = 16 << 10
# Who is refused may still be sending: what is not read would reset the connection, and the answer
# with it.
_LEAVE_S = 1.0
_MOST_DISCARDED = 1 << 20


def cut_off(scope: Scope) -> int | None:
    """Return the status of a request that was ended before its answer was, else None.

    The status is what the server itself has sent, or CLIENT_GONE.
    """
    status: int | None = scope.get("state", {}).get(_CUT_OFF)
    return status


def give_way(scope: Scope) -> None:
    """Let the connection of a request that is only kept waiting go before any other."""
    scope.setdefault("state", {})[_GIVES_WAY] = True


class _For(StrEnum):
    """What is waited for."""

    HEAD = "the head of a request"
    BODY = "its body"
    REQUEST = "the next request"
    LEAVING = "the client to take the server's last answer"


class _Wait(NamedTuple):
    what: _For
    messages: int


class Connection(HttpToolsProtocol):
    """A client's connection; the crowd it is in has the bounds."""

    crowd: Crowd

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self.address = "-"
        self._has_asked = False
        self.is_refused = False
        self._bounds = self.crowd.settings
        self._timeouts = {
            _For.HEAD: self._bounds.http_head_timeout_s,
            _For.BODY: self._bounds.http_body_timeout_s,
            _For.REQUEST: self._bounds.http_idle_timeout_s,
            _For.LEAVING: _LEAVE_S,
        }
        self._messages = 0
        self._is_in_head = False
        self._is_in_message = False
        # Since the parser has last told of anything but a head: trailers and the extensions of
        # chunks have no bound of their own either.
        self._head_bytes = 0
        self._has_moved = False
        self._head_again = b""
        self._owed: list[RequestResponseCycle] = []
        self._discarded = 0
        self._wait: _Wait | None = None
        self._waited = 0.0
        self._unsent = 0
        self._unsent_for = 0.0

    @property
    def worth(self) -> int | None:
        """How much would be lost with it, from 0 on; None while its answer is made or taken."""
        if not self._owed:
            return 1 if self._has_asked else 0
        if all(cycle.scope["state"].get(_GIVES_WAY) for cycle in self._owed):
            return 0
        is_kept_waiting = self._waited or self._unsent_for
        return 2 if is_kept_waiting else None

    # What the transport calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(cast(asyncio.Transport, transport))
        if self.client:
            self.address = self.client[0]
        self.crowd.join(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self.crowd.leave(self)
        for cycle in self._owed:
            _end(cycle, CLIENT_GONE)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._unset_keepalive_if_required()
        left = memoryview(data)
        while left and not self.is_refused:
            try:
                left = left[self._parse(left) :]
            except Refusal as refusal:
                self.refuse(refusal)
        if left:
            self._discarded += len(left)
            if self._discarded > _MOST_DISCARDED:
                self.transport.abort()

    def resume_writing(self) -> None:
        self._unsent = 0
        super().resume_writing()

    def _parse(self, data: memoryview) -> int:
        """Return how many bytes were taken; raises Refusal."""
        most = self._bounds.http_max_head_bytes
        self._has_moved = False
        taken = self._feed(data[: most - self._head_bytes])
        self._head_bytes = 0 if self._has_moved else self._head_bytes + taken
        if self._head_bytes >= most:
            detail = f"at most {most} bytes in the head of a request"
            raise Refusal(Bound.HEAD_BYTES, HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, detail)
        return taken

    def _feed(self, part: memoryview | bytes) -> int:
        """Return how many bytes the parser took; raises Refusal."""
        try:
            self.parser.feed_data(part)
        except httptools.HttpParserUpgrade as upgrade:
            # Nothing else is spoken here: what was asked is answered, and the next is read.
            if self._head_again:
                head, self._head_again = self._head_again, b""
                self.parser = httptools.HttpRequestParser(self)
                self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
                self._feed(head)
            return int(upgrade.args[0])
        except httptools.HttpParserError as error:
            if isinstance(error.__context__, Refusal):
                raise error.__context__ from None
            detail = "this is no request of HTTP/1.1"
            raise Refusal(Bound.MALFORMED, HTTPStatus.BAD_REQUEST, detail) from error
        return len(part)

    # What the parser calls; what is raised here comes out where it was fed

    def on_message_begin(self) -> None:
        self._messages += 1
        self._is_in_head = self._is_in_message = True
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._is_in_head:  # a trailer: the application has its headers already
            return
        most = self._bounds.http_max_headers
        if len(self.headers) >= most:
            detail = f"at most {most} headers in a request"
            raise Refusal(Bound.HEADERS, HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, detail)
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        if len(self._owed) >= _MOST_PIPELINED:
            detail = f"at most {_MOST_PIPELINED} requests before they are answered"
            raise Refusal(Bound.PIPELINED, HTTPStatus.SERVICE_UNAVAILABLE, detail)
        if self.parser.should_upgrade() and _has_body(self.headers):
            # The parser would take the body for the next request. Another one is given the head
            # without the wish: Java's client wishes for HTTP/2 with every body that it sends.
            self._head_again = self._head_without_upgrade()
            return
        super().on_headers_complete()
        self._is_in_head = False
        self._has_moved = True
        self._owed.append(self.cycle)
        self._waited = 0.0

    def on_body(self, body: bytes) -> None:
        self._has_moved = True
        super().on_body(body)

    def on_message_complete(self) -> None:
        if self._head_again:
            return
        self._has_moved = True
        self._is_in_message = False
        super().on_message_complete()

    # What the application's answer calls

    def on_response_complete(self) -> None:
        self._owed = [cycle for cycle in self._owed if not cycle.response_complete]
        self._has_asked = True
        self.crowd.note_answered(self)
        super().on_response_complete()

    # What ends it

    def refuse(self, refusal: Refusal) -> None:
        """Answer in place of the application, where it is this answer's turn, and close."""
        self.crowd.count(refusal.bound)
        self.is_refused = True
        asked = self._owed[-1] if self._owed and self._is_asking(self._owed[-1]) else None
        if asked is not None:
            self._owed.remove(asked)
        if self._owed:
            # Those before it are answered, and with the last of them it ends.
            if asked is not None:
                self.pipeline.popleft()
            self._owed[-1].keep_alive = False
            return
        if asked is not None:
            _end(asked, refusal.status)
        is_answered = self._is_in_message and not self._is_in_head and asked is None
        if is_answered or (asked is not None and asked.response_started):
            self.transport.abort()
        elif not self.transport.is_closing():
            self.transport.write(refusal.answer(self.server_state.default_headers))
            self.transport.write_eof()
            self.flow.resume_reading()

    def abort(self) -> None:
        """Cut it off."""
        self.transport.abort()

    def look(self, seconds: float) -> None:
        """End it if the client has kept it waiting for too long; so many seconds have passed."""
        self._look_at_sending(seconds)
        wait = self._waits_for()
        if wait is None or wait != self._wait:
            self._wait, self._waited = wait, 0.0
        elif not self.flow.read_paused:  # else it is the application that lets the client wait
            self._waited += seconds
            if self._waited > self._timeouts[wait.what]:
                self._end_wait(wait)

    def _head_without_upgrade(self) -> bytes:
        """Return the head that has been read; raises Refusal for what is an upgrade by itself."""
        method, version = self.parser.get_method(), self.parser.get_http_version().encode()
        if method == b"CONNECT":
            raise Refusal(Bound.MALFORMED, HTTPStatus.BAD_REQUEST, "nothing is connected to here")
        lines = [b"%b %b HTTP/%b" % (method, self.url, version)]
        lines += [b"%b: %b" % header for header in self.headers if header[0] != b"upgrade"]
        return b"\r\n".join([*lines, b"", b""])

    def _is_asking(self, cycle: RequestResponseCycle) -> bool:
        """Return whether the body of this request is still coming."""
        return self._is_in_message and not self._is_in_head and cycle is self.cycle

    def _waits_for(self) -> _Wait | None:
        """Return what the client owes, if anything."""
        what: _For | None = None
        if self.transport.is_closing():
            pass
        elif self.is_refused:
            what = None if self._owed else _For.LEAVING
        elif self._is_in_head or not self._messages:
            what = _For.HEAD
        elif self._is_in_message:
            is_held_back = self.cycle.waiting_for_100_continue
            what = None if is_held_back else _For.BODY
        elif not self._owed:
            what = _For.REQUEST
        return _Wait(what, self._messages) if what else None

    def _end_wait(self, wait: _Wait) -> None:
        match wait.what:
            case _For.HEAD if not self._messages and not self._head_bytes:
                self.crowd.count(Bound.HEAD_TIMEOUT)
                self.transport.close()
            case _For.HEAD:
                detail = f"the head of the request was not there in {self._timeouts[wait.what]:g} s"
                self.refuse(Refusal(Bound.HEAD_TIMEOUT, HTTPStatus.REQUEST_TIMEOUT, detail))
            case _For.BODY:
                detail = f"the body was not there in {self._timeouts[wait.what]:g} s"
                self.refuse(Refusal(Bound.BODY_TIMEOUT, HTTPStatus.REQUEST_TIMEOUT, detail))
            case _For.REQUEST:
                self.transport.close()
            case _For.LEAVING:
                self.transport.abort()

    def _look_at_sending(self, seconds: float) -> None:
        """Cut it where the client does not take its answer, also one that is closed already."""
        unsent = self.transport.get_write_buffer_size()
        if not unsent or not self._unsent or unsent <= self._unsent - _LEAST_TAKEN:
            self._unsent, self._unsent_for = unsent, 0.0
            return
        self._unsent = max(self._unsent, unsent)
        self._unsent_for += seconds
        if self._unsent_for > self._bounds.http_write_timeout_s:
            self.crowd.count(Bound.WRITE_TIMEOUT)
            self.transport.abort()


def protocol(crowd: Crowd) -> type[asyncio.Protocol]:
    """Return what uvicorn makes a connection of."""

    class OneOfTheCrowd(Connection):
        pass

    OneOfTheCrowd.crowd = crowd
    return OneOfTheCrowd


def _has_body(headers: list[tuple[bytes, bytes]]) -> bool:
    return any(
        name == b"transfer-encoding" or (name == b"content-length" and value != b"0")
        for name, value in headers
    )


def _end(cycle: RequestResponseCycle, status: int) -> None:
    """Let the application know that nobody waits for its answer."""
    cycle.scope["state"][_CUT_OFF] = status
    cycle.disconnected = True
    cycle.message_event.set()
