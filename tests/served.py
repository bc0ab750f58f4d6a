"""An application served as in production: uvicorn as it is configured, on uvloop, on a thread."""

import asyncio
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import uvicorn
import uvloop
from prometheus_client import CollectorRegistry, Counter, Gauge
from starlette.types import ASGIApp

from runtime.http.problem import SECURITY_HEADERS
from runtime.http.refusal import Bound
from runtime.http.server import configuration, listen
from runtime.http.settings import HttpSettings

PATIENCE_S = 20.0
GET = b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n"
POST = b"POST /v1/telemetry/meter HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
SOON = 0.3
"""A timeout of these tests, in seconds."""


class Metrics(NamedTuple):
    """What a server counts of its clients."""

    refused: Counter
    connections: Gauge

    @classmethod
    def new(cls) -> "Metrics":
        registry = CollectorRegistry()
        return cls(
            Counter("refused", "by bound", ["bound"], registry=registry),
            Gauge("connections", "open", registry=registry),
        )


class Answer(NamedTuple):
    """An answer as it came, and all that came after it."""

    status: int
    headers: dict[str, str]
    body: bytes


class Client:
    """A client's socket, which sends any bytes."""

    def __init__(self, port: int, *, receive_buffer: int | None = None) -> None:
        self.socket = socket.socket()
        self.socket.settimeout(PATIENCE_S)
        if receive_buffer is not None:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.connect(("127.0.0.1", port))

    def send(self, data: bytes) -> bool:
        """Return whether it could all be sent."""
        try:
            self.socket.sendall(data)
        except OSError:
            return False
        return True

    def rest(self) -> bytes:
        """Return all that comes until the server ends it."""
        came = b""
        try:
            while data := self.socket.recv(1 << 16):
                came += data
        except ConnectionError:
            pass
        return came

    def answer(self) -> Answer:
        """Return the next answer, which has a Content-Length."""
        came = b""
        while b"\r\n\r\n" not in came:
            came += self._some()
        head, _, body = came.partition(b"\r\n\r\n")
        first, *lines = head.decode().split("\r\n")
        headers = {name.lower(): value for name, _, value in (one.partition(": ") for one in lines)}
        while len(body) < int(headers["content-length"]):
            body += self._some()
        return Answer(int(first.split()[1]), headers, body)

    def ask(self, head: bytes) -> int:
        """Return the status of an answer, 0 if there is none."""
        self.send(head + b"\r\n")
        try:
            return self.answer().status
        except ConnectionError:
            return 0

    def close(self) -> None:
        self.socket.close()

    def _some(self) -> bytes:
        data = self.socket.recv(1 << 16)
        if not data:
            raise ConnectionResetError("the server has ended it")
        return data


class Served:
    """A server that runs, and its clients."""

    def __init__(self, port: int, metrics: Metrics) -> None:
        self.port = port
        self._metrics = metrics
        self._clients: list[Client] = []

    def client(self, *, receive_buffer: int | None = None) -> Client:
        """Connect; it is closed at the end."""
        self._clients.append(Client(self.port, receive_buffer=receive_buffer))
        return self._clients[-1]

    def close(self) -> None:
        for client in self._clients:
            client.close()

    def refused(self, bound: Bound) -> float:
        """Return how many this bound has turned away."""
        [metric] = self._metrics.refused.collect()
        return sum(
            one.value
            for one in metric.samples
            if one.name.endswith("_total") and one.labels == {"bound": bound}
        )

    @property
    def connections(self) -> float:
        [metric] = self._metrics.connections.collect()
        return metric.samples[0].value


class _Server(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@contextmanager
def served(
    app: ASGIApp,
    *,
    metrics: Metrics | None = None,
    more: dict[str, Any] | None = None,
    **bounds: Any,
) -> Iterator[Served]:
    """Serve on a thread; `bounds` are settings by their names without `http_`."""
    metrics = metrics or Metrics.new()
    settings = HttpSettings(
        http_port=0, **{f"http_{name}": value for name, value in bounds.items()}
    )
    config = configuration(
        app,
        settings=settings,
        refused=metrics.refused,
        connections=metrics.connections,
        lifespan="off",
        timeout_graceful_shutdown=1,
        **(more or {}),
    )
    listening = listen(settings)
    port = listening.getsockname()[1]
    server = _Server(config)

    def run() -> None:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(server.serve(sockets=[listening]))

    thread = threading.Thread(target=run)
    thread.start()
    one = Served(port, metrics)
    try:
        until(lambda: server.started)
        yield one
    finally:
        one.close()
        server.should_exit = True
        thread.join()


def until(condition: Callable[[], bool]) -> None:
    """Wait until it holds."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def problem(answer: Answer, status: int) -> None:
    """Check that the answer is a problem document with the headers of every answer."""
    assert answer.status == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["connection"] == "close"
    assert answer.headers["date"]
    for name, value in SECURITY_HEADERS.items():
        assert answer.headers[name.lower()] == value
    document = json.loads(answer.body)
    assert document["status"] == status
    assert document["title"]
    assert document["detail"]


def head_of(length: int) -> bytes:
    return GET + b"X: " + b"x" * (length - len(GET) - len(b"X: \r\n\r\n")) + b"\r\n\r\n"
