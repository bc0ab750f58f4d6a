"""The bounds of a connection, over real sockets: of the API and of the consumer's pages."""

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from functools import partial
from hashlib import sha256

import pytest
from starlette.types import Receive, Scope, Send

import api.app
import api.settings
import consumer.health
import consumer.metrics
from runtime.http.problem import SECURITY_HEADERS
from runtime.http.refusal import Bound
from tests.served import GET, POST, SOON, Metrics, Served, head_of, problem, served, until

Serve = Callable[..., AbstractContextManager[Served]]


@pytest.fixture(params=["api", "consumer"])
def serve(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Serve]:
    """Serve the API, and then the consumer's pages; the servers behind them are not needed."""
    if request.param == "api":
        monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:1")
        monkeypatch.setenv("DATABASE_URL", "postgresql://u:p@127.0.0.1:1/d")
        app = api.app.create_app(api.settings.Settings())
        counted = app.state.parts.metrics
        yield partial(served, app, metrics=Metrics(counted.refused, counted.connections))
        app.state.parts.gateway.close()
        return
    metrics = consumer.metrics.Metrics()
    yield partial(
        served,
        consumer.health.application(metrics=metrics, readiness=dict),
        metrics=Metrics(metrics.http_refused, metrics.http_connections),
        more={"headers": list(SECURITY_HEADERS.items())},
    )


# Heads


def test_a_head_of_64_kib_is_answered_and_one_byte_more_is_431(serve: Serve) -> None:
    with serve() as server:
        client = server.client()
        for _ in range(2):
            client.send(head_of(64 << 10))
            assert client.answer().status == 200
        client.send(head_of((64 << 10) + 1))
        problem(client.answer(), 431)
        assert client.rest() == b""
        assert server.refused(Bound.HEAD_BYTES) == 1


@pytest.mark.parametrize(
    ("begin", "more", "bound"),
    [
        (GET + b"X: ", b"x" * (1 << 16), Bound.HEAD_BYTES),
        (GET, b"a:b\r\n" * 10_000, Bound.HEADERS),
        (b"", b"\r\n" * (1 << 15), Bound.HEAD_BYTES),
        (b"GET /", b"x" * (1 << 16), Bound.HEAD_BYTES),
        (POST + b"Transfer-Encoding: chunked\r\n\r\n0\r\n", b"a:b\r\n" * 10_000, Bound.HEAD_BYTES),
        (POST + b"Transfer-Encoding: chunked\r\n\r\n1;", b"x" * (1 << 16), Bound.HEAD_BYTES),
    ],
    ids=["header", "headers", "blank lines", "path", "trailers", "extension of a chunk"],
)
def test_an_endless_head_is_not_read_further(
    serve: Serve, begin: bytes, more: bytes, bound: Bound
) -> None:
    with serve() as server:
        client = server.client()
        client.send(begin)
        sent = 0
        while sent < 50_000_000 and client.send(more):
            sent += len(more)
        assert sent < 50_000_000
        assert server.refused(bound) == 1
        until(lambda: server.connections == 0)


def test_100_headers_are_answered_and_one_more_is_431(serve: Serve) -> None:
    with serve() as server:
        client = server.client()
        client.send(GET + b"a: b\r\n" * 99 + b"\r\n")
        assert client.answer().status == 200
        client.send(GET + b"a: b\r\n" * 100 + b"\r\n")
        problem(client.answer(), 431)


@pytest.mark.parametrize(
    "garbage",
    [b"\x16\x03\x01\x02\x00\x01\x00\r\n", b"GET / FTP/1.1\r\n", b"CONNECT a:443 HTTP/1.1\r\n\r\n"],
)
def test_bytes_that_are_not_http_are_a_problem_and_not_logged(
    serve: Serve, garbage: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    with serve() as server, caplog.at_level(logging.DEBUG):
        client = server.client()
        client.send(garbage)
        problem(client.answer(), 400)
        assert server.refused(Bound.MALFORMED) == 1
        assert [line for line in caplog.messages if "nvalid" in line] == []


def test_an_upgrade_to_another_protocol_is_ignored(serve: Serve) -> None:
    with serve() as server:
        client = server.client()
        wanted = b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: eA==\r\n"
        client.send(GET + wanted + b"Sec-WebSocket-Version: 13\r\n\r\n")
        assert client.answer().status == 200
        client.send(GET + b"\r\n")
        assert client.answer().status == 200


@pytest.mark.parametrize(
    "begin",
    [
        b"GET /health/live HTTP/1.1\r\n",
        POST,
        POST + b"Transfer-Encoding: chunked\r\n",
    ],
)
def test_a_body_is_never_taken_for_the_next_request(serve: Serve, begin: bytes) -> None:
    smuggled = b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with serve() as server:
        client = server.client()
        size = b"%x\r\n" % len(smuggled) if b"chunked" in begin else b""
        end = b"\r\n0\r\n\r\n" if size else b""
        wish = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
        client.send(begin + b"Content-Length: %d\r\n" % len(smuggled) * (not size) + wish + b"\r\n")
        client.send(size + smuggled + end)
        assert client.answer().status != 400
        client.send(GET + b"Connection: close\r\n\r\n")
        assert client.rest().count(b"HTTP/1.1 ") == 1


def test_an_upgrade_to_http_2_does_not_lose_the_body() -> None:
    heard: list[tuple[list[tuple[bytes, bytes]], bytes]] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        body, is_read = b"", False
        while not is_read:
            message = await receive()
            body += message["body"]
            is_read = not message["more_body"]
        heard.append((scope["headers"], body))
        answer = {"status": 200, "headers": [(b"content-length", b"0")]}
        await send({"type": "http.response.start", **answer})
        await send({"type": "http.response.body", "body": b""})

    with served(app) as server:
        client = server.client()
        java = POST + b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nA: b\r\n"
        whole = (
            java + b"Content-Length: 5\r\n\r\nfirst" + java + b"Transfer-Encoding: chunked\r\n\r\n"
        )
        client.send(whole + b"6\r\nsecond\r\n0\r\n\r\n")
        until(lambda: len(heard) == 2)
        for byte in whole[: len(java) + 28]:  # the same, a byte at a time
            client.send(bytes([byte]))
        until(lambda: len(heard) == 3)
    assert [body for _, body in heard] == [b"first", b"second", b"first"]
    assert [headers.count((b"a", b"b")) for headers, _ in heard] == [1, 1, 1]


# Times


def test_a_connection_that_sends_nothing_is_closed(serve: Serve) -> None:
    with serve(head_timeout_s=SOON) as server:
        assert server.client().rest() == b""
        assert server.refused(Bound.HEAD_TIMEOUT) == 1


def test_a_head_that_is_begun_and_not_ended_is_408(serve: Serve) -> None:
    with serve(head_timeout_s=SOON) as server:
        new, kept = server.client(), server.client()
        kept.send(GET + b"\r\n")
        assert kept.answer().status == 200
        new.send(GET)
        problem(new.answer(), 408)
        for byte in GET:  # each of them is something, and together they are too slow
            if not kept.send(bytes([byte])):
                break
            time.sleep(0.02)
        assert b"HTTP/1.1 408 " in kept.rest()
        assert server.refused(Bound.HEAD_TIMEOUT) == 2


def test_a_connection_that_asks_nothing_more_is_closed(serve: Serve) -> None:
    with serve(idle_timeout_s=SOON) as server:
        client = server.client()
        client.send(GET + b"\r\n")
        assert client.answer().status == 200
        assert client.rest() == b""
        until(lambda: server.connections == 0)


def test_a_body_that_trickles_is_ended(serve: Serve) -> None:
    with serve(body_timeout_s=SOON) as server:
        client = server.client()
        client.send(POST + b"Content-Length: 1000\r\n\r\n")
        while client.send(b" ") and not server.refused(Bound.BODY_TIMEOUT):
            time.sleep(0.02)
        assert server.refused(Bound.BODY_TIMEOUT) == 1
        until(lambda: server.connections == 0)


# Connections


def test_idle_connections_give_way_to_clients_that_ask(serve: Serve) -> None:
    with serve(max_connections=10) as server:
        asking = server.client()
        asking.send(GET + b"\r\n")
        assert asking.answer().status == 200
        silent = [server.client() for _ in range(30)]
        until(lambda: server.refused(Bound.CONNECTIONS) == 21)
        assert server.connections == 10
        new = server.client()
        for client in (new, asking):
            client.send(GET + b"\r\n")
            assert client.answer().status == 200
        assert silent[0].rest() == b""


@pytest.mark.parametrize("path", [b"/health/live", b"/nothing"])
def test_those_that_are_kept_waiting_for_their_rate_give_way(
    path: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:1")
    monkeypatch.setenv("DATABASE_URL", "postgresql://u:p@127.0.0.1:1/d")
    monkeypatch.setenv("API_KEYS", sha256(b"a-key").hexdigest())
    monkeypatch.setenv("ADDRESS_RATE_LIMIT_PER_MINUTE", "1")
    monkeypatch.setattr("api.middleware.access._PAUSE_S", 3_600)
    monkeypatch.setattr("api.middleware.access._HEALTH_PAUSE_S", 3_600)
    app = api.app.create_app(api.settings.Settings())
    counted = app.state.parts.metrics
    with served(
        app, metrics=Metrics(counted.refused, counted.connections), max_connections=5
    ) as server:
        for client in [server.client() for _ in range(10)]:
            client.send(b"GET %b HTTP/1.1\r\nHost: localhost\r\n\r\n" % path)
        until(lambda: server.refused(Bound.CONNECTIONS) >= 5)
        honest = server.client()
        honest.send(b"GET /docs HTTP/1.1\r\nAuthorization: Bearer a-key\r\n\r\n")
        assert honest.answer().status == 200


def test_the_connections_of_one_address_can_be_bounded(serve: Serve) -> None:
    with serve(max_connections_per_address=2) as server:
        first = server.client()
        others = [server.client() for _ in range(2)]
        assert first.rest() == b""
        for client in others:
            client.send(GET + b"\r\n")
            assert client.answer().status == 200
        assert server.refused(Bound.ADDRESS) == 1
        for client in others:
            client.close()
        until(lambda: server.connections == 0)
