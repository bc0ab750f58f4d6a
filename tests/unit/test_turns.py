"""A connection while the application answers: its bounds, and which side is waited for."""

import asyncio
import resource
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from runtime.http.refusal import Bound
from tests.served import GET, POST, SOON, Served, head_of, problem, served, until


def app_of(endpoint: Callable[[Request], Any]) -> ASGIApp:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        response = await endpoint(Request(scope, receive))
        await response(scope, receive, send)

    return app


@contextmanager
def gate() -> Iterator[tuple[threading.Event, Callable[[Request], Any]]]:
    """An endpoint that answers once the event is set."""
    opened = threading.Event()

    async def endpoint(_: Request) -> PlainTextResponse:
        while not opened.is_set():
            await asyncio.sleep(0.005)
        return PlainTextResponse("done")

    try:
        yield opened, endpoint
    finally:
        opened.set()


def test_a_new_connection_is_503_if_all_are_busy() -> None:
    with gate() as (opened, endpoint), served(app_of(endpoint), max_connections=3) as server:
        busy = [server.client() for _ in range(3)]
        for client in busy:
            client.send(GET + b"\r\n")
        until(lambda: server.connections == 3)
        time.sleep(0.1)
        late = server.client().answer()
        problem(late, 503)
        assert late.headers["retry-after"]
        assert server.refused(Bound.CONNECTIONS) == 1
        opened.set()
        assert [client.answer().status for client in busy] == [200] * 3


def test_time_in_which_the_application_does_not_read_is_not_counted_against_the_client() -> None:
    async def slow(request: Request) -> PlainTextResponse:
        await asyncio.sleep(4 * SOON)
        return PlainTextResponse(str(len(await request.body())))

    with served(app_of(slow), body_timeout_s=SOON) as server:
        client = server.client()
        body = b"x" * 20_000_000
        client.send(POST + b"Content-Length: %d\r\n\r\n" % len(body) + body)
        assert client.answer().body == b"20000000"
        waits = server.client()
        waits.send(POST + b"Expect: 100-continue\r\nContent-Length: 1\r\n\r\n")
        assert waits.socket.recv(100).startswith(b"HTTP/1.1 100 ")
        waits.send(b"x")
        assert waits.answer().body == b"1"


def test_time_in_which_the_loop_is_held_up_is_not_counted_against_the_client() -> None:
    async def holds(request: Request) -> PlainTextResponse:
        if request.method == "GET":
            time.sleep(6 * SOON)  # noqa: ASYNC251  which is the fault
        return PlainTextResponse(str(len(await request.body())))

    # The shorter one makes it look more often.
    with served(app_of(holds), body_timeout_s=5 * SOON, idle_timeout_s=SOON) as server:
        other, client = server.client(), server.client()
        client.send(POST + b"Content-Length: 2\r\n\r\nx")
        time.sleep(SOON / 2)  # so that the clock runs already
        assert other.ask(GET) == 200
        client.send(b"x")
        assert client.answer().body == b"2"


async def _endless(_: Request) -> StreamingResponse:
    async def parts() -> Any:
        while True:
            yield b"x" * 10_000
            await asyncio.sleep(0)

    return StreamingResponse(parts())


async def _hello(_: Request) -> PlainTextResponse:
    return PlainTextResponse("hello")


async def _large(_: Request) -> PlainTextResponse:
    return PlainTextResponse("x" * 20_000_000)


@pytest.mark.parametrize("endpoint", [_endless, _large])
@pytest.mark.parametrize("last", [b"", b"Connection: close\r\n"])
def test_a_client_that_does_not_take_the_answer_is_cut_off(
    endpoint: Callable[[Request], Any], last: bytes
) -> None:
    with served(app_of(endpoint), write_timeout_s=SOON, idle_timeout_s=SOON / 3) as server:
        client = server.client(receive_buffer=4_096)
        client.send(GET + last + b"\r\n")
        until(lambda: server.refused(Bound.WRITE_TIMEOUT) == 1)
        until(lambda: server.connections == 0)


def test_a_client_that_does_not_take_the_answer_gives_way_to_one_that_asks() -> None:
    async def endpoint(request: Request) -> Any:
        return await (_large if request.url.path == "/large" else _hello)(request)

    with served(app_of(endpoint), max_connections=3, idle_timeout_s=SOON) as server:
        for _ in range(3):
            # The second request is not answered before the answer to the first is taken.
            deaf = server.client(receive_buffer=4_096)
            deaf.send(b"GET /large HTTP/1.1\r\nHost: localhost\r\n\r\n" * 2)
        until(lambda: server.client().ask(GET) == 200)


def test_the_limit_on_descriptors_is_raised() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, 512), hard))
    with served(app_of(_hello)):
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (hard, hard)


def test_a_client_that_takes_the_answer_slowly_gets_all_of_it() -> None:
    with served(app_of(_large), write_timeout_s=SOON, idle_timeout_s=SOON / 3) as server:
        client = server.client()
        client.send(GET + b"\r\n")
        came = 0
        while came < 20_000_000:
            came += len(client.socket.recv(1_000_000))
            time.sleep(0.03)
        assert server.refused(Bound.WRITE_TIMEOUT) == 0


def test_the_number_of_pipelined_requests_is_bounded() -> None:
    with gate() as (opened, endpoint), served(app_of(endpoint)) as server:
        client = server.client()
        client.send((GET + b"\r\n") * 3_000)
        until(lambda: server.refused(Bound.PIPELINED) == 1)
        opened.set()
        assert client.rest().count(b"HTTP/1.1 200 OK") == 8
        assert server.refused(Bound.PIPELINED) == 1


def test_malformed_bytes_after_a_request_do_not_prevent_its_answer() -> None:
    for wrong, bound in (
        (b"garbage\r\n", Bound.MALFORMED),
        (POST + b"Transfer-Encoding: chunked\r\n\r\nno length\r\n", Bound.MALFORMED),
        (head_of(200_000), Bound.HEAD_BYTES),
    ):
        with gate() as (opened, endpoint), served(app_of(endpoint)) as server:
            client = server.client()
            client.send(GET + b"\r\n" + wrong)
            until(partial(_is_refused, server, bound))
            opened.set()
            rest = client.rest()
            assert rest.count(b"HTTP/1.1 ") == 1
            assert rest.startswith(b"HTTP/1.1 200 ")
            assert rest.endswith(b"done")


def _is_refused(server: Served, bound: Bound) -> bool:
    return server.refused(bound) == 1


def test_each_of_several_requests_learns_that_its_client_has_gone() -> None:
    ended = threading.Event()

    async def listens(request: Request) -> StreamingResponse:
        async def parts() -> Any:
            try:
                while True:
                    yield b"x"
                    await asyncio.sleep(0.01)
            finally:
                ended.set()

        return StreamingResponse(parts())

    with served(app_of(listens)) as server:
        client = server.client()
        client.send((GET + b"\r\n") * 2)
        assert client.socket.recv(100)
        client.close()
        assert ended.wait(10)


def test_a_trailer_is_not_a_header() -> None:
    seen: list[str] = []

    async def endpoint(request: Request) -> PlainTextResponse:
        await request.body()
        seen.extend(request.headers)
        return PlainTextResponse("")

    with served(app_of(endpoint)) as server:
        client = server.client()
        body = b"1\r\nx\r\n0\r\nAuthorization: Bearer late\r\n\r\n"
        client.send(POST + b"Transfer-Encoding: chunked\r\n\r\n" + body)
        assert client.answer().status == 200
    assert "transfer-encoding" in seen
    assert "authorization" not in seen
