"""A connection that sends any bytes: a head without an end, a body byte by byte, garbage.

with Line(port) as line:
    line.send(request("GET", "/health/live"))
    line.said()                                  "200"
"""

import json
import socket
import struct
import time
from collections.abc import Mapping
from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse
from typing import Any, Self

HOST = "127.0.0.1"
PATIENCE_S = 10.0
CLOSED, SILENT, REFUSED = "closed", "silent", "refused"
"""What `said` is without an answer: the connection ended, nothing came, or there was none."""
_CHUNK = 64 << 10
_LONGEST_LINE = 256


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back; `said` is the status as text, or one of the words above."""

    said: str
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


class Line:
    """One TCP connection from an address of loopback, which has many; raises OSError."""

    def __init__(
        self, port: int, *, source: str = HOST, patience: float = PATIENCE_S, receives: int = 0
    ) -> None:
        self.socket = socket.socket()
        self.socket.settimeout(patience)
        if receives:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receives)
        try:
            self.socket.bind((source, 0))
            self.socket.connect((HOST, port))
        except OSError:
            self.socket.close()
            raise
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, data: bytes) -> int:
        """Send and return how many bytes were taken: fewer if the other side ends it."""
        taken = 0
        while taken < len(data):
            try:
                taken += self.socket.send(data[taken : taken + _CHUNK])
            except OSError:
                break
        return taken

    def answer(self) -> Answer:
        """Return the next answer, or how it failed to come."""
        response = HTTPResponse(self.socket)
        try:
            response.begin()
            body = response.read()
        except TimeoutError:
            return Answer(SILENT, {}, b"")
        except (OSError, HTTPException):
            return Answer(CLOSED, {}, b"")
        headers = {name.lower(): value for name, value in response.getheaders()}
        return Answer(str(response.status), headers, body)

    def status(self) -> str:
        """Return what is said first of an answer that need not end."""
        try:
            words = self.socket.makefile("rb").readline(_LONGEST_LINE).split()
        except TimeoutError:
            return SILENT
        except OSError:
            return CLOSED
        return words[1].decode() if len(words) > 1 else CLOSED

    def ends_within(self, seconds: float) -> bool:
        """Return whether the other side ends the connection by then, whatever it sends before."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            self.socket.settimeout(left)
            try:
                if not self.socket.recv(_CHUNK):
                    return True
            except TimeoutError:
                return False
            except OSError:
                return True
        return False

    def reset(self) -> None:
        """Disconnect like a killed client: what was not read yet is thrown away."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()


def head(method: str, path: str, headers: Mapping[str, str] | None = None) -> bytes:
    """Return a request's head, with its blank line."""
    lines = [f"{method} {path} HTTP/1.1"]
    lines += [f"{name}: {value}" for name, value in ({"Host": HOST} | dict(headers or {})).items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def request(
    method: str,
    path: str,
    *,
    key: str | None = None,
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
) -> bytes:
    """Return a whole request; a body is JSON unless the headers say otherwise."""
    own: dict[str, str] = {} if key is None else {"Authorization": f"Bearer {key}"}
    if body is not None:
        own |= {"Content-Type": "application/json", "Content-Length": str(len(body))}
    return head(method, path, own | dict(headers or {})) + (body or b"")


def ask(port: int, message: bytes, *, source: str = HOST, patience: float = PATIENCE_S) -> Answer:
    """Send one request over a connection of its own and return what came back."""
    try:
        with Line(port, source=source, patience=patience) as line:
            line.send(message)
            return line.answer()
    except OSError:
        return Answer(REFUSED, {}, b"")
