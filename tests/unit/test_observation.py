"""The access log and metrics of a request: its caller, and clients that have gone."""

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator, Iterator, MutableMapping
from typing import Any

import pytest
from fastapi import FastAPI
from starlette.responses import StreamingResponse
from structlog.testing import capture_logs

from api.app import create_app
from api.settings import Settings
from runtime.http.refusal import Bound
from tests.served import Client, Metrics, Served, served, until

KEY = "a-key-of-these-tests"
CALLER = "client:key-1"
ADDRESS = "address:127.0.0.1"
AUTHORIZATION = b"Authorization: Bearer " + KEY.encode() + b"\r\n"
JSON = b"Content-Type: application/json\r\n"
OF_ANOTHER_SITE = b"POST /v1/sessions/start HTTP/1.1\r\nSec-Fetch-Site: cross-site\r\n"
TOO_LARGE = b"POST /v1/telemetry/meter HTTP/1.1\r\nContent-Length: 99999999\r\n"
Log = list[MutableMapping[str, Any]]


@pytest.fixture
def app(monkeypatch: pytest.MonkeyPatch) -> Iterator[FastAPI]:
    """The application with a key, without the servers behind it, and with a few routes more."""
    for name, value in {
        "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1",
        "DATABASE_URL": "postgresql://u:p@127.0.0.1:1/d",
        "API_KEYS": hashlib.sha256(KEY.encode()).hexdigest(),
        "RATE_LIMIT_PER_MINUTE": "5",
    }.items():
        monkeypatch.setenv(name, value)
    app = create_app(Settings())
    app.state.opened = asyncio.Event()

    @app.get("/waits")
    async def waits() -> str:
        app.state.loop = asyncio.get_running_loop()
        await app.state.opened.wait()
        return "done"

    @app.get("/sends")
    async def sends(media: str) -> StreamingResponse:
        async def parts() -> AsyncIterator[bytes]:
            while True:
                yield b"x" * 1_000
                await asyncio.sleep(0.001)

        return StreamingResponse(parts(), media_type=media)

    @app.get("/fails")
    async def fails() -> None:
        raise RuntimeError

    yield app
    app.state.parts.gateway.close()


@pytest.fixture
def log() -> Iterator[Log]:
    with capture_logs() as lines:
        yield lines


def serve(app: FastAPI, **bounds: Any) -> Any:
    metrics = app.state.parts.metrics
    return served(app, metrics=Metrics(metrics.refused, metrics.connections), **bounds)


def answered(log: Log) -> MutableMapping[str, Any]:
    """Return the only line of the access log, once it is there."""
    until(lambda: any(line["event"] == "request_answered" for line in log))
    [line] = [line for line in log if line["event"] == "request_answered"]
    return line


def counted(app: FastAPI, route: str, status: int) -> float | None:
    labels = {"method": "GET", "route": route, "status": str(status)}
    found: float | None = app.state.parts.metrics.registry.get_sample_value(
        "telemetry_http_requests_total", labels
    )
    return found


@pytest.mark.parametrize(
    ("asked", "status", "caller"),
    [
        (b"GET /docs HTTP/1.1\r\n", 200, ADDRESS),
        (b"GET /nothing HTTP/1.1\r\n", 401, ADDRESS),
        (b"GET /nothing HTTP/1.1\r\nAuthorization: Bearer wrong\r\n", 401, ADDRESS),
        (b"GET /nothing HTTP/1.1\r\n" + AUTHORIZATION, 404, CALLER),
        (OF_ANOTHER_SITE, 401, ADDRESS),
        (OF_ANOTHER_SITE + AUTHORIZATION, 403, CALLER),
        (TOO_LARGE + AUTHORIZATION, 415, CALLER),
        (TOO_LARGE + JSON, 401, ADDRESS),
        (TOO_LARGE + JSON + AUTHORIZATION, 413, CALLER),
        (b"GET /fails HTTP/1.1\r\n" + AUTHORIZATION, 500, CALLER),
    ],
)
def test_every_line_of_the_log_names_the_caller(
    app: FastAPI, log: Log, asked: bytes, status: int, caller: str
) -> None:
    with serve(app) as server:
        client = server.client()
        client.send(asked + b"Host: localhost\r\n\r\n")
        assert client.answer().status == status
        line = answered(log)
    assert (line["status"], line["caller"]) == (status, caller)
    assert {one.get("caller") for one in log if "request" in one["event"]} == {caller}
    assert KEY not in json.dumps(log, default=str)


def test_a_caller_that_asks_too_often_is_named_too(app: FastAPI, log: Log) -> None:
    with serve(app) as server:
        client = server.client()
        told: list[int] = []
        # On a slow machine some of what is allowed comes back meanwhile.
        while 429 not in told and len(told) < 30:
            client.send(b"GET /nothing HTTP/1.1\r\n" + AUTHORIZATION + b"Host: localhost\r\n\r\n")
            told.append(client.answer().status)
        assert told[-1] == 429
        assert told[:5] == [404] * 5
        until(lambda: len(log) == len(told))
    assert (log[-1]["status"], log[-1]["caller"]) == (429, CALLER)


def ask(server: Served, path: bytes, more: bytes = b"") -> Client:
    client = server.client()
    client.send(path + b" HTTP/1.1\r\nHost: localhost\r\n" + AUTHORIZATION + more + b"\r\n")
    return client


@pytest.mark.parametrize(
    "path", ["/v1/telemetry/meter", "/v1/devices/meters", "/v1/sessions/start"]
)
@pytest.mark.parametrize("coding", [b"identity", b"gzip"])
def test_a_client_that_hangs_up_during_its_body_is_499_without_a_trace(
    app: FastAPI, log: Log, path: str, coding: bytes
) -> None:
    with serve(app) as server:
        more = JSON + b"Content-Length: 100\r\nContent-Encoding: " + coding + b"\r\n"
        client = ask(server, b"POST " + path.encode(), more)
        client.send(b'{"a')
        client.close()
        line = answered(log)
    assert (line["status"], line["caller"]) == (499, CALLER)
    assert [one["event"] for one in log] == ["request_answered"]


def test_a_client_that_hangs_up_before_its_answer_is_499(app: FastAPI, log: Log) -> None:
    with serve(app) as server:
        client = ask(server, b"GET /waits")
        until(lambda: hasattr(app.state, "loop"))
        client.close()
        until(lambda: server.connections == 0)
        app.state.loop.call_soon_threadsafe(app.state.opened.set)
        assert answered(log)["status"] == 499
    assert counted(app, "/waits", 499) == 1
    # How long it took says how patient the client was.
    labels = {"method": "GET", "route": "/waits"}
    registry = app.state.parts.metrics.registry
    assert not registry.get_sample_value("telemetry_http_request_seconds_count", labels)


@pytest.mark.parametrize(("media", "status"), [("text/plain", 499), ("text/event-stream", 200)])
def test_a_client_that_hangs_up_during_its_answer_is_499_unless_it_has_no_end(
    app: FastAPI, log: Log, media: str, status: int
) -> None:
    with serve(app) as server:
        client = ask(server, b"GET /sends?media=" + media.encode())
        assert client.socket.recv(100)
        client.close()
        assert answered(log)["status"] == status
    assert [one["event"] for one in log] == ["request_answered"]


def test_the_log_has_the_status_that_the_server_itself_answered(app: FastAPI, log: Log) -> None:
    with serve(app, body_timeout_s=0.2) as server:
        client = ask(server, b"POST /v1/telemetry/meter", JSON + b"Content-Length: 100\r\n")
        client.send(b'{"a')
        assert client.answer().status == 408
        line = answered(log)
        assert (line["status"], line["caller"]) == (408, CALLER)
        assert server.refused(Bound.BODY_TIMEOUT) == 1
    assert [one["event"] for one in log] == ["request_answered"]
