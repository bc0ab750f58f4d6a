"""Open paths: their answers are made in advance, and take nothing from clients with a key."""

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack

import pytest
from fastapi import FastAPI
from psycopg import OperationalError

from api.readiness import Readiness
from tests.api.conftest import Client, problem, until_ready
from tests.asked import asked

READY = "/health/ready"
NO_VEHICLE = "127.0.0.1:1"


async def test_readiness_takes_no_connection_of_the_pool(make_app: Callable[..., FastAPI]) -> None:
    app = make_app(DATABASE_POOL_SIZE="1", DATABASE_POOL_TIMEOUT_S="0.1")
    async with asked(app) as client, AsyncExitStack() as stack:
        await stack.enter_async_context(app.state.parts.database.write())
        problem(await client.get("/v1/devices/meters"), 503)
        before = app.state.parts.database.pools["write"].get_stats()["requests_num"]
        answers = await asyncio.gather(*(client.get(READY) for _ in range(50)))
        assert {answer.status_code for answer in answers} == {200}
        stats = app.state.parts.database.pools["write"].get_stats()
        assert stats["requests_num"] == before


async def test_readiness_tells_ingest_from_answers(
    make_app: Callable[..., FastAPI],
) -> None:
    async def said(client: Client, query: str) -> tuple[int, str, dict[str, bool]]:
        answer = await client.get(READY + query)
        document = answer.json()
        return answer.status_code, document["status"], document["checks"]

    async with asked(make_app(KAFKA_BOOTSTRAP_SERVERS=NO_VEHICLE)) as client:
        assert await said(client, "?for=answers") == (200, "ready", {"database": True})
        assert await said(client, "?for=ingest") == (503, "not ready", {"kafka": False})
        both = {"database": True, "kafka": False}
        assert await said(client, "") == (503, "not ready", both)
        problem(await client.get(READY + "?for=all"), 422, "for")
        problem(await client.get(READY + "?of=ingest"), 422, "of")


async def test_without_postgresql_ingest_is_ready(
    make_app: Callable[..., FastAPI],
) -> None:
    async with asked(make_app(DATABASE_URL=f"postgresql://u:p@{NO_VEHICLE}/d")) as client:
        await until_ready(client, 503, database=False, kafka=True)
        assert (await client.get(READY + "?for=ingest")).status_code == 200
        assert (await client.get(READY + "?for=answers")).status_code == 503


async def test_the_result_of_a_look_that_hangs_expires(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.readiness._EVERY_S", 0)
    monkeypatch.setattr("api.readiness._STALE_S", 0.05)
    hangs = asyncio.Event()

    async def look() -> None:
        if hangs.is_set():
            await asyncio.Event().wait()

    async def fails() -> None:
        raise OperationalError

    async def never() -> None:
        await asyncio.Event().wait()

    readiness = Readiness({"database": look, "kafka": fails, "other": never})
    async with readiness.looking():
        assert await readiness.checks() == {"database": True, "kafka": False, "other": False}
        hangs.set()
        async with asyncio.timeout(5):
            while (await readiness.checks("answers"))["database"]:
                await asyncio.sleep(0.01)


async def test_constant_answers_are_rendered_once(client: Client) -> None:
    for path in ("/docs", "/openapi.json", "/static/wattline.css"):
        first = await client.get(path)
        tag = first.headers["etag"]
        assert first.headers["cache-control"] == "no-cache"
        again = await client.get(path, headers={"If-None-Match": tag})
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
        other = await client.get(path, headers={"If-None-Match": '"another"'})
        assert other.content == first.content
        head = await client.head(path)
        assert (head.content, head.headers["etag"]) == (b"", tag)


async def test_the_openapi_document_is_made_once(
    make_app: Callable[..., FastAPI],
) -> None:
    app = make_app()
    made = app.openapi
    times = 0

    def counted() -> dict[str, object]:
        nonlocal times
        times += 1
        return made()

    app.openapi = counted  # type: ignore[method-assign]  # as FastAPI documents it
    async with asked(app) as client:
        for _ in range(5):
            for path in ("/docs", "/openapi.json"):
                assert (await client.get(path)).status_code == 200
    assert times == 2


async def test_cookies_are_not_parsed(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def read(_: str) -> dict[str, str]:
        raise AssertionError("the cookies are read")

    monkeypatch.setattr("starlette.requests.cookie_parser", read)
    for path in ("/health/live", READY, "/docs", "/v1/devices/meters"):
        answer = await client.get(path, headers={"Cookie": "a=b"})
        assert answer.status_code == 200, path
