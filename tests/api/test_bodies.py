"""Hostile bodies: their bounds, and the problems that answer them."""

import asyncio
import gzip
import hashlib
import json
import socket
from collections.abc import AsyncIterator, Callable
from typing import Any, cast

import pytest
from fastapi import FastAPI

from deploy.local.stack import Addresses
from tests.api.conftest import Client, problem, served
from tests.api.operations import operations
from tests.api.readings import encode, meter, vehicle
from tests.api.topic import Topic
from tests.api.waiting import until
from tests.asked import asked

INGEST = "/v1/telemetry"
BATCH = f"{INGEST}/meter/batch"
MIXED = f"{INGEST}/ingest/batch"
METERS = "/v1/devices/meters"
BATCHES = [f"/v1/devices/{kind}/batch" for kind in ("meters", "vehicles", "assignments")]
MOST_FORM = 16 << 10
MIB = 1 << 20


def writes(app: FastAPI) -> list[tuple[str, str]]:
    """Return (method, path) of every route that takes a body of one thing other than a reading."""
    return [
        (method, path.replace("{session_id}", "1").replace("{assignment_id}", "1"))
        for method, path in operations(app)
        if method in {"POST", "PATCH"} and not path.startswith(INGEST) and path not in BATCHES
    ]


async def test_a_body_that_is_not_a_reading_has_at_most_16_kib(
    make_app: Callable[..., FastAPI],
) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(MOST_FORM // 1_000 + 1):
            yield b" " * 1_000

    app = make_app()
    async with served(app) as client:
        for method, path in writes(app):
            whole = b" " * (MOST_FORM + 1)
            packed = gzip.compress(whole)
            for content, headers in (
                (whole, {}),
                (chunks(), {}),
                (packed, {"Content-Encoding": "gzip"}),
            ):
                answer = await client.request(method, path, content=content, headers=headers)
                document = problem(answer, 413)
                assert f"at most {MOST_FORM} bytes" in str(document["detail"]), path
            assert (await client.request(method, path, content=whole[1:])).status_code == 422
        page = (await client.get("/metrics")).text
        refused = 3.0 * len(writes(app))
        assert f'telemetry_http_refused_total{{bound="body"}} {refused}' in page


async def test_a_body_that_is_too_long_is_refused_before_it_is_sent(
    make_app: Callable[..., FastAPI],
) -> None:
    async with served(make_app()) as client:
        with connected(client, "POST", METERS, length=MOST_FORM + 1) as one:
            assert (await received(one)).startswith(b"HTTP/1.1 413 ")


async def test_a_problem_lists_twenty_of_thousands_of_faults(client: Client) -> None:
    body = encode({f"f{number}": 1 for number in range(1_000)})
    answer = await client.post(METERS, content=body)
    document = problem(answer, 422, "meterId")
    assert len(cast("list[object]", document["errors"])) == 20
    assert document["moreErrors"] == 1_001 - 20
    assert len(answer.content) < 2_000
    query = "&".join(f"f{number}=1" for number in range(250))
    answer = await client.get(f"{METERS}?{query}")
    document = problem(answer, 422, "f19")
    assert document["moreErrors"] == 250 - 20
    assert len(answer.content) < 4_000


@pytest.mark.parametrize(
    "name", ["\x1b[2J\r\n\x00", "\ud800", "\u202e\u2028\x85", "x" * 15_000, "\u00e9" * 2_000]
)
async def test_a_name_is_repeated_in_one_line_of_bounded_length(client: Client, name: str) -> None:
    answer = await client.post(METERS, content=encode({"meterId": "m", name: 1}))
    document = problem(answer, 422)
    [fault] = cast("list[dict[str, str]]", document["errors"])
    said = (fault["field"], fault["detail"], str(document["detail"]))
    assert all(text.isprintable() and len(text) <= 501 for text in said)
    assert len(answer.content) < 1_500
    if name.isalnum():
        assert fault["field"] == name[:64] + "\N{HORIZONTAL ELLIPSIS}"
    if "\ud800" not in name:
        answer = await client.get(METERS, params={name[:2_000]: "1"})
        assert all(
            one["field"].isprintable()
            for one in cast("list[dict[str, str]]", problem(answer, 422)["errors"])
        )


FOREIGN = {
    "utf-16": "is UTF-16, not UTF-8",
    "utf-16-le": "is UTF-16, not UTF-8",
    "utf-16-be": "is UTF-16, not UTF-8",
    "utf-32": "is UTF-32, not UTF-8",
    "utf-32-le": "is UTF-32, not UTF-8",
    "utf-32-be": "is UTF-32, not UTF-8",
    "utf-8-sig": "begins with a byte-order mark",
}


@pytest.mark.parametrize(("encoding", "said"), FOREIGN.items())
async def test_other_encodings_are_refused_alike_on_every_path(
    make_app: Callable[..., FastAPI], servers: Addresses, encoding: str, said: str
) -> None:
    app = make_app()
    one = meter()
    singly = {"/meter": one, "/ingest": {"streamType": "meter", "payload": one}}
    wholly: list[tuple[str, str, object]] = [
        ("POST", BATCH, {"data": [one]}),
        ("POST", MIXED, {"records": [one]}),
        *(("POST", path, {"items": [{"meterId": "m"}]}) for path in BATCHES),
        *((method, path, {"meterId": "m"}) for method, path in writes(app)),
    ]
    async with asked(app) as client:
        with Topic(servers.kafka_bootstrap_servers, "telemetry.meter") as there:
            for path, body in singly.items():
                content = json.dumps(body).encode(encoding)
                document = problem(await client.post(INGEST + path, content=content), 422)
                [rejected] = cast("list[dict[str, str]]", document["rejected"])
                assert (rejected["reason"], rejected["detail"]) == (
                    "malformed_json",
                    f"the value {said}",
                )
            for method, path, body in wholly:
                content = json.dumps(body).encode(encoding)
                answer = await client.request(method, path, content=content)
                assert problem(answer, 422, "body")["detail"] == f"body: {said}", path
            assert there.new() == []


async def test_bodies_are_strict_json_on_every_path(
    make_app: Callable[..., FastAPI],
) -> None:
    app = make_app()
    for_all = {
        b"{": "should be JSON",
        b'{"x":"\xff"}': "should be JSON",
        b'{"x":NaN}': "NaN is not JSON",
        b'{"x":' + b"[" * 64 + b"]" * 64 + b"}": "more than 64 levels deep",
        b"[" * 10_000: "more than 64 levels deep",
    }
    async with asked(app) as client:
        for method, path in writes(app):
            for content, said in for_all.items():
                answer = await client.request(method, path, content=content)
                assert problem(answer, 422, "body")["detail"] == f"body: {said}"
            content = b'{"x":' + b"[" * 63 + b"]" * 63 + b"}"
            assert "body" not in problem(await client.request(method, path, content=content), 422)
        long = b'{"meterId":"m","capacityKw":' + b"9" * 5_000 + b"}"
        problem(await client.post(METERS, content=long), 422, "capacityKw")


def nested(levels: int, make: Callable[..., dict[str, object]] = meter) -> bytes:
    """Return a reading that is nested so many levels deep."""
    deep = b"[" * (levels - 1) + b"]" * (levels - 1)
    return encode(make(extra="here")).replace(b'"here"', deep)


@pytest.mark.parametrize("levels", [64, 65, 900, 1_100, 30_000])
async def test_one_deep_reading_is_one_rejection(
    client: Client, servers: Addresses, levels: int
) -> None:
    good, deep = encode(meter()), nested(levels)
    wrapped = b'{"streamType":"meter","payload":%s}'
    bodies = (
        (BATCH, b'{"data":[%s]}' % b",".join([good, deep, good])),
        (MIXED, b'{"records":[%s]}' % b",".join([good, deep, wrapped % good])),
        (MIXED, b'{"records":[%s]}' % b",".join([good, wrapped % deep, encode(vehicle())])),
    )
    with Topic(servers.kafka_bootstrap_servers, "telemetry.meter") as there:
        for path, body in bodies:
            answer = await client.post(path, content=body)
            assert answer.status_code == 202, answer.text
            rejected = [(one["index"], one["reason"]) for one in answer.json()["rejected"]]
            is_good = levels <= 64
            assert rejected == ([] if is_good else [(1, "malformed_json")])
            assert answer.json()["accepted"] == (3 if is_good else 2)
        assert len(there.new()) == (8 if levels <= 64 else 5)
    for path, content in ((f"{INGEST}/ingest", wrapped % deep), (f"{INGEST}/meter", deep)):
        assert (await client.post(path, content=content)).status_code == (
            202 if levels <= 64 else 422
        )


async def test_a_batch_that_is_deep_itself_is_refused(client: Client) -> None:
    good = encode(meter())
    for path, name in ((BATCH, b"data"), (MIXED, b"records")):
        for levels in (64, 100, 5_000, 32_000, 1_000_000):
            deep = b"[" * levels + b"]" * levels
            body = b'{"beside":%s,"%s":[%s]}' % (deep, name, good)
            answer = await client.post(path, content=body)
            if levels == 64:
                assert answer.status_code == 202
            else:
                problem(answer, 422, "body")
            problem(await client.post(path, content=deep), 422, name.decode())
            problem(await client.post(path, content=b"[" * levels), 422)
            inner = b'{"%s":' % name
            document = problem(await client.post(path, content=inner * 2 + deep + b"}}"), 422)
            assert "rejected" not in document


async def test_a_reading_that_is_not_json_is_one_rejection(client: Client) -> None:
    good = encode(meter())
    for wrong in (
        b"nope",
        b'{"meterId":}',
        b"{]",
        b"1 2",
        b"'x'",
        b'"\xff"',
        b"\xef\xbb\xbf" + good,
    ):
        answer = await client.post(BATCH, content=b'{"data":[%s,%s]}' % (wrong, good))
        assert answer.status_code == 202, answer.text
        [rejected] = answer.json()["rejected"]
        assert (rejected["index"], rejected["reason"]) == (0, "malformed_json")
    for broken in (b"%s,", b",%s", b"%s}", b"[%s", b'%s,"', b"%s] ["):
        answer = await client.post(BATCH, content=b'{"data":[' + broken % good + b"]}")
        problem(answer, 422, "body")


async def test_thousands_of_rejections_are_a_megabyte_at_the_most(client: Client) -> None:
    names = encode({"x" * 5_000: "\x1b[2J"})
    for items in (b"{}", b"[]", names[:-1] + b',"timestamp":"' + b"9" * 50 + b'"}'):
        count = min(5_000, (8 * MIB - 20) // (len(items) + 1))
        body = b'{"records":[%s]}' % b",".join([items] * count)
        answer = await client.post(MIXED, content=body)
        document = problem(answer, 422)
        assert len(cast("list[object]", document["rejected"])) == count
        assert len(answer.content) < MIB
        assert b"xxx" not in answer.content


class connected:  # noqa: N801  a context
    """A connection on which only the head of a request was sent."""

    def __init__(
        self, client: Client, method: str, path: str, *, length: int, key: str = ""
    ) -> None:
        self._address = (client.base_url.host, client.base_url.port or 80)
        self._head = (
            f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            f"Authorization: Bearer {key}\r\nContent-Length: {length}\r\n\r\n"
        )

    def __enter__(self) -> socket.socket:
        self._socket = socket.create_connection(self._address)
        self._socket.setblocking(False)
        self._socket.send(self._head.encode())
        return self._socket

    def __exit__(self, *_: object) -> None:
        self._socket.close()


async def received(one: socket.socket) -> bytes:
    return await asyncio.get_running_loop().sock_recv(one, 65_536)


async def held(client: Client) -> float:
    """Return how many bytes the bodies hold, from the metrics."""
    page = (await client.get("/metrics")).text
    [line] = [one for one in page.splitlines() if one.startswith("telemetry_http_body_bytes ")]
    return float(line.split()[1])


async def until_held(client: Client, count: float) -> None:
    async with asyncio.timeout(5):
        while await held(client) != count:
            await asyncio.sleep(0.02)


async def test_bodies_hold_what_they_have_sent_until_their_client_goes(
    make_app: Callable[..., FastAPI],
) -> None:
    loop = asyncio.get_running_loop()
    app = make_app(BODY_BUDGET_BYTES=str(2 * MIB), BODY_BUDGET_CLIENT_BYTES=str(2 * MIB))
    large = b" " * (MIB // 2)
    async with served(app) as client:
        # 1. A client that only announces a large body takes nothing.
        idle = [connected(client, "POST", BATCH, length=8 * MIB) for _ in range(10)]
        for one in idle:
            one.__enter__()
        problem(await client.post(BATCH, content=large), 422)
        assert await held(client) == 0
        for one in idle:
            one.__exit__()
        # 2. A client that sends it does.
        with connected(client, "POST", BATCH, length=8 * MIB) as slow:
            await loop.sock_sendall(slow, b" " * (2 * MIB - 1_000))
            await until_held(client, 2 * MIB - 1_000)
            answer = await client.post(BATCH, content=large)
            problem(answer, 429)
            assert answer.headers["retry-after"]
            # What fits is taken.
            assert (await client.post(f"{INGEST}/meter", json=meter())).status_code == 202
            packed = gzip.compress(large)
            assert len(packed) < 1_000
            answer = await client.post(BATCH, content=packed, headers={"Content-Encoding": "gzip"})
            problem(answer, 429)
        # 3. Its client has gone.
        await until_held(client, 0)
        problem(await client.post(BATCH, content=large), 422)
        page = (await client.get("/metrics")).text
        assert 'telemetry_http_refused_total{bound="body_budget"} 2.0' in page


async def test_a_client_has_a_share_of_what_all_bodies_may_hold(
    make_app: Callable[..., FastAPI],
) -> None:
    loop = asyncio.get_running_loop()
    keys = ("one-key", "another-key", "a-third-key")
    app = make_app(
        API_KEYS=",".join(hashlib.sha256(key.encode()).hexdigest() for key in keys),
        BODY_BUDGET_BYTES=str(2 * MIB),
        BODY_BUDGET_CLIENT_BYTES=str(MIB),
    )
    most = b" " * (MIB - 100)
    async with served(app) as client:
        client.headers["Authorization"] = f"Bearer {keys[2]}"  # for the metrics

        async def post(key: str) -> Any:
            headers = {"Authorization": f"Bearer {key}"}
            return await client.post(BATCH, content=b" " * 1_000, headers=headers)

        with connected(client, "POST", BATCH, length=8 * MIB, key=keys[0]) as one:
            await loop.sock_sendall(one, most)
            await until_held(client, len(most))
            problem(await post(keys[0]), 429)
            problem(await post(keys[1]), 422)
            with connected(client, "POST", BATCH, length=8 * MIB, key=keys[1]) as other:
                await loop.sock_sendall(other, most)
                await until_held(client, 2 * len(most))
                answer = await post(keys[2])
                problem(answer, 503)
                assert answer.headers["retry-after"]
        await until_held(client, 0)
        problem(await post(keys[2]), 422)


async def test_a_client_that_leaves_while_its_batch_waits_gives_back_what_it_held(
    make_app: Callable[..., FastAPI],
) -> None:
    loop = asyncio.get_running_loop()
    app = make_app()
    batch = encode({"data": [meter()] * 1_000})
    async with served(app) as client:
        turns = app.state.parts.turns
        async with turns.lock:
            with connected(client, "POST", BATCH, length=len(batch)) as one:
                await loop.sock_sendall(one, batch)
                await until_held(client, len(batch))
            await until_held(client, 0)
        await until(lambda: not turns.lock.locked())
        assert (await client.post(BATCH, content=batch)).status_code == 202
