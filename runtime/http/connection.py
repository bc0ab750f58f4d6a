"""One connection to a server: uvicorn's, with a bound on all that a client may keep waiting.

uvicorn's parser takes a head of any length, sets no timeouts, and queues pipelined requests without
a bound. When the client leaves, it tells only the last of several requests that wait.
"""

import asyncio
from http import HTTPStatus
from typing import Any, cast

import httptools
from uvicorn import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from runtime.http.crowd import Crowd
from runtime.http.patience import Owed, Sending, Wait, Waiting
from runtime.http.refusal import Bound, Refusal
from runtime.http.scope import CLIENT_GONE, end, gives_way

_MOST_PIPELINED = 8
# A refused client may still be sending. Bytes that are not read would reset the connection, and the
# answer would be lost with it.
_LEAVE_S = 1.0
_MOST_DISCARDED = 1 << 20


class Connection(HttpToolsProtocol):
    """A client's connection; its bounds are those of the crowd."""

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
            Owed.HEAD: self._bounds.http_head_timeout_s,
            Owed.BODY: self._bounds.http_body_timeout_s,
            Owed.REQUEST: self._bounds.http_idle_timeout_s,
            Owed.LEAVING: _LEAVE_S,
        }
        self._messages = 0
        self._is_in_head = False
        self._is_in_message = False
        # Bytes since the parser last reported anything but a head: trailers and the extensions of
        # chunks have no bound of their own either.
        self._head_bytes = 0
        self._has_moved = False
        self._head_again = b""
        self._owed: list[RequestResponseCycle] = []
        self._discarded = 0
        self._waiting = Waiting()
        self._sending = Sending()

    @property
    def unsent(self) -> int:
        """How many bytes of answers the client has not taken."""
        return self.transport.get_write_buffer_size()

    @property
    def worth(self) -> int | None:
        """How much would be lost with it, from 0 up; None while an answer is made or taken."""
        if not self._owed:
            return 1 if self._has_asked else 0
        if all(map(gives_way, self._owed)):
            return 0
        is_kept_waiting = self._waiting.seconds or self._sending.seconds
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
            end(cycle, CLIENT_GONE)
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
        self._sending.resume()
        super().resume_writing()

    def _parse(self, data: memoryview) -> int:
        """Return how many bytes of the data were taken; raises Refusal."""
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
            # No other protocol is spoken here: the request is answered, and the next one is read.
            if self._head_again:
                head, self._head_again = self._head_again, b""
                self.parser = httptools.HttpRequestParser(self)
                self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
                self._feed(head)
            return int(upgrade.args[0])
        except httptools.HttpParserError as error:
            if isinstance(error.__context__, Refusal):
                raise error.__context__ from None
            detail = "this is not a request of HTTP/1.1"
            raise Refusal(Bound.MALFORMED, HTTPStatus.BAD_REQUEST, detail) from error
        return len(part)

    # What the parser calls; an exception raised here comes out of `feed_data`

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
            # The parser would take the body for the next request. Another parser is given the head
            # without `Upgrade`: Java's client asks for HTTP/2 with every body that it sends.
            self._head_again = self._head_without_upgrade()
            return
        super().on_headers_complete()
        self._is_in_head = False
        self._has_moved = True
        self._owed.append(self.cycle)
        self._waiting.seconds = 0.0

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
        """Answer in place of the application, if no other answer comes first, and close."""
        self.crowd.count(refusal.bound)
        self.is_refused = True
        asked = self._owed[-1] if self._owed and self._is_asking(self._owed[-1]) else None
        if asked is not None:
            self._owed.remove(asked)
        if self._owed:
            # The requests before it are answered; the connection ends with the last of them.
            if asked is not None:
                self.pipeline.popleft()
            self._owed[-1].keep_alive = False
            return
        if asked is not None:
            end(asked, refusal.status)
        is_answered = self._is_in_message and not self._is_in_head and asked is None
        if is_answered or (asked is not None and asked.response_started):
            self.transport.abort()
        elif not self.transport.is_closing():
            self.transport.write(refusal.answer(self.server_state.default_headers))
            if self.transport.can_write_eof():  # TLS cannot; LEAVING ends it
                self.transport.write_eof()
            self.flow.resume_reading()

    def abort(self) -> None:
        """Cut it off."""
        self.transport.abort()

    def look(self, seconds: float) -> None:
        """End it if the client has kept it waiting for too long; `seconds` since the last look."""
        # An answer that is not taken ends a connection that is closed already, too.
        unsent_s = self._sending.look(self.unsent, seconds)
        if unsent_s > self._bounds.http_write_timeout_s:
            self.crowd.count(Bound.WRITE_TIMEOUT)
            self.transport.abort()
        wait = self.waits_for()
        # While reading is paused it is the application that keeps the client waiting.
        waited_s = self._waiting.look(wait, 0.0 if self.flow.read_paused else seconds)
        if wait is not None and waited_s > self._timeouts[wait.what]:
            self._end_wait(wait)

    def _head_without_upgrade(self) -> bytes:
        """Return the head that was read, as bytes; raises Refusal for CONNECT."""
        method, version = self.parser.get_method(), self.parser.get_http_version().encode()
        if method == b"CONNECT":
            raise Refusal(Bound.MALFORMED, HTTPStatus.BAD_REQUEST, "CONNECT is not supported")
        lines = [b"%b %b HTTP/%b" % (method, self.url, version)]
        lines += [b"%b: %b" % header for header in self.headers if header[0] != b"upgrade"]
        return b"\r\n".join([*lines, b"", b""])

    def _is_asking(self, cycle: RequestResponseCycle) -> bool:
        """Return whether the body of this request is still coming."""
        return self._is_in_message and not self._is_in_head and cycle is self.cycle

    def waits_for(self) -> Wait | None:
        """Return what the client owes, if anything."""
        what: Owed | None = None
        if self.transport.is_closing():
            pass
        elif self.is_refused:
            what = None if self._owed else Owed.LEAVING
        elif self._is_in_head or not self._messages:
            what = Owed.HEAD
        elif self._is_in_message:
            is_held_back = self.cycle.waiting_for_100_continue
            what = None if is_held_back else Owed.BODY
        elif not self._owed:
            what = Owed.REQUEST
        return Wait(what, self._messages) if what else None

    def _end_wait(self, wait: Wait) -> None:
        match wait.what:
            case Owed.HEAD if not self._messages and not self._head_bytes:
                self.crowd.count(Bound.HEAD_TIMEOUT)
                self.transport.close()
            case Owed.HEAD:
                detail = f"the request's head did not arrive in {self._timeouts[wait.what]:g} s"
                self.refuse(Refusal(Bound.HEAD_TIMEOUT, HTTPStatus.REQUEST_TIMEOUT, detail))
            case Owed.BODY:
                detail = f"the body did not arrive in {self._timeouts[wait.what]:g} s"
                self.refuse(Refusal(Bound.BODY_TIMEOUT, HTTPStatus.REQUEST_TIMEOUT, detail))
            case Owed.REQUEST:
                self.transport.close()
            case Owed.LEAVING:
                self.transport.abort()


def protocol(crowd: Crowd) -> type[asyncio.Protocol]:
    """Return the class that uvicorn makes the connections of a crowd from."""

    class OneOfTheCrowd(Connection):
        pass

    OneOfTheCrowd.crowd = crowd
    return OneOfTheCrowd


def _has_body(headers: list[tuple[bytes, bytes]]) -> bool:
    return any(
        name == b"transfer-encoding" or (name == b"content-length" and value != b"0")
        for name, value in headers
    )
