"""A crowd with slow questions: other requests are answered meanwhile, and so is each question.

What makes a question slow is a lock of the test's on a table that it reads.
"""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import psycopg
import pytest
from fastapi import FastAPI

from tests.api.conftest import Client, Rows, problem, served
from tests.api.readings import MINUTE, NOW, encode, meter, store_meter, store_vehicle
from tests.api.waiting import until
from tests.asked import PATIENCE_S

PERFORMANCE = "/v1/analytics/performance/v-1"
CURRENT = "/v1/telemetry/vehicle/v-1/current"
METERS, SESSIONS = "/v1/devices/meters", "/v1/sessions/start"
KEYS = [f"key-{number}" for number in range(20)]
DIGESTS = ",".join(hashlib.sha256(key.encode()).hexdigest() for key in KEYS)
# The lock is held for as long as the test likes.
SETTINGS = {
    "API_KEYS": DIGESTS,
    "DATABASE_POOL_TIMEOUT_S": "60",
    "DATABASE_QUESTION_WAIT_S": "60",
    "DATABASE_LOCK_TIMEOUT_S": "60",
    "DATABASE_STATEMENT_TIMEOUT_S": "60",
    "DATABASE_POOL_SIZE": "12",
}
SHORT = {"DATABASE_POOL_TIMEOUT_S": "0.2", "DATABASE_QUESTION_WAIT_S": "0.2"}


def by(key: int) -> dict[str, str]:
    return {"Authorization": f"Bearer {KEYS[key]}"}


@asynccontextmanager
async def locked(url: str, statement: str) -> AsyncIterator[None]:
    """Hold the locks that a statement takes."""
    async with await psycopg.AsyncConnection.connect(url) as connection:
        await connection.execute(statement.encode())
        yield


def lane(app: FastAPI, name: str) -> tuple[int, int]:
    """Return how many of a lane are busy, and how many wait."""
    one = app.state.parts.database.lanes[name]
    return one.busy, one.waiting


async def until_line(lines: AsyncIterator[str], wanted: str) -> None:
    async with asyncio.timeout(PATIENCE_S):
        async for line in lines:
            if line == wanted:
                return
    raise AssertionError(wanted)


async def ask(client: Client, key: int) -> tuple[int, dict[str, str], bytes]:
    """Ask for a performance over a connection of its own; return status, headers and body."""
    address = client.base_url
    reader, writer = await asyncio.open_connection(address.host, address.port)
    head = f"GET {PERFORMANCE} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
    writer.write(f"{head}Authorization: {by(key)['Authorization']}\r\n\r\n".encode())
    told, _, body = (await reader.read()).partition(b"\r\n\r\n")
    writer.close()
    await writer.wait_closed()
    first, *lines = told.decode().split("\r\n")
    return int(first.split()[1]), dict(line.lower().split(": ", 1) for line in lines), body


async def check_the_rest(client: Client, key: int) -> None:
    """Check that all requests other than questions are answered."""
    assert (await client.get("/health/ready")).status_code == 200
    for path in (CURRENT, f"{METERS}/registered"):
        assert (await client.get(path, headers=by(key))).status_code == 200
    made = await client.post(METERS, json={"meterId": "n"}, headers=by(key))
    assert made.status_code == 201
    session = {"vehicleId": "v-1", "meterId": "m-1"}
    assert (await client.post(SESSIONS, json=session, headers=by(key))).status_code == 201
    sent = await client.post("/v1/telemetry/meter", content=encode(meter()), headers=by(key))
    assert sent.status_code == 202


async def test_two_hundred_slow_questions_do_not_hold_up_other_requests(
    make_app: Callable[..., FastAPI], api_database: str, rows: Rows
) -> None:
    store_vehicle(rows, "v-1", [(NOW - MINUTE, 1.0)])
    rows.execute("INSERT INTO meter (meter_id) VALUES ('registered')")
    app = make_app(**SETTINGS, DATABASE_MOST_WAITING="50")
    async with served(app) as client:
        async with locked(api_database, "LOCK TABLE vehicle_meter_assignment"):
            crowd = [asyncio.create_task(ask(client, number % 19)) for number in range(200)]
            await until(lambda: sum(task.done() for task in crowd) == 146)
            assert lane(app, "question") == (4, 50)
            await check_the_rest(client, 19)
            # The looks of this process go on: the live stream's, and those of the pages.
            async with client.stream("GET", "/v1/live", headers=by(19)) as stream:
                lines = stream.aiter_lines()
                await until_line(lines, ": listening")
                store_meter(rows, "m-2", [(NOW, 2.0)])
                await until_line(lines, "event: meter")
            assert (await app.state.parts.figures.now.get(wait_s=PATIENCE_S)).value is not None
            assert lane(app, "question") == (4, 50)
            page = (await client.get("/metrics", headers=by(19))).text
        for told in (
            'telemetry_lane_requests{lane="question",state="busy"} 4.0',
            'telemetry_lane_requests{lane="question",state="waiting"} 50.0',
            'telemetry_http_refused_total{bound="lane_question"} 146.0',
        ):
            assert told in page
        answers = await asyncio.gather(*crowd)
        assert sorted(status for status, _, _ in answers) == [200] * 54 + [503] * 146
        for status, headers, body in answers:
            if status == 503:
                assert headers["content-type"] == "application/problem+json"
                assert int(headers["retry-after"]) > 0
                assert b"busy answering questions" in body
        assert lane(app, "question") == (0, 0)


async def test_one_client_leaves_places_for_the_questions_of_others(
    make_app: Callable[..., FastAPI], api_database: str, rows: Rows
) -> None:
    store_vehicle(rows, "v-1", [(NOW - MINUTE, 1.0)])
    app = make_app(**SETTINGS)
    async with served(app) as client:
        async with locked(api_database, "LOCK TABLE vehicle_meter_assignment"):
            many = [asyncio.create_task(ask(client, 0)) for _ in range(20)]
            await until(lambda: lane(app, "question") == (2, 18))
            for path in (
                "/v1/telemetry/vehicles/current",
                "/v1/telemetry/vehicle/v-1/history",
                "/vehicles",
            ):
                assert (await client.get(path, headers=by(1))).status_code == 200
        assert {status for status, _, _ in await asyncio.gather(*many)} == {200}


async def test_a_wait_that_is_too_long_is_busy_and_not_an_outage_of_postgresql(
    make_app: Callable[..., FastAPI], api_database: str, rows: Rows
) -> None:
    app = make_app(**SETTINGS | SHORT)
    async with (
        served(app) as client,
        locked(api_database, "LOCK TABLE vehicle_meter_assignment"),
    ):
        first = [asyncio.create_task(client.get(PERFORMANCE, headers=by(0))) for _ in range(2)]
        await until(lambda: lane(app, "question") == (2, 0))
        document = problem(await client.get(PERFORMANCE, headers=by(0)), 503)
        assert document["detail"] == (
            "the database is busy answering questions: no connection was free in time; ask again"
        )
        for task in first:
            task.cancel()


def stuck(rows: Rows) -> int:
    """Return how many requests wait for the lock of the test; the look for readiness may, too."""
    found = rows.execute(
        "SELECT FROM pg_stat_activity WHERE datname = current_database()"
        " AND application_name = 'wattline-api' AND wait_event_type = 'Lock'"
        " AND query NOT LIKE 'SELECT 1 FROM meter_current_state,%'"
    )
    return found.rowcount


@pytest.mark.parametrize("connections", ["1", "2"])
async def test_a_pool_too_small_for_lanes_says_that_it_is_busy_as_well(
    make_app: Callable[..., FastAPI], api_database: str, rows: Rows, connections: str
) -> None:
    # Long enough for a busy machine to make the connections that are then taken.
    short = {"DATABASE_POOL_TIMEOUT_S": "2", "DATABASE_POOL_SIZE": connections}
    app = make_app(**SETTINGS | short)
    async with (
        served(app) as client,
        locked(api_database, "LOCK TABLE vehicle_meter_assignment, meter"),
    ):
        await until(lambda: lane(app, "own") == (0, 0))  # the first look at what is taken in
        first = [
            asyncio.create_task(client.get(path, headers=by(0)))
            for path in (PERFORMANCE, f"{METERS}/m")[: int(connections)]
        ]
        await until(lambda: stuck(rows) == len(first))
        document = problem(await client.post(METERS, json={"meterId": "n"}, headers=by(1)), 503)
        assert document["detail"] == "the database is busy: all connections are taken; ask again"
        for task in first:
            task.cancel()


async def test_writes_that_wait_for_a_lock_do_not_hold_up_others(
    make_app: Callable[..., FastAPI], api_database: str, rows: Rows
) -> None:
    store_vehicle(rows, "v-1", [(NOW - MINUTE, 1.0)])
    app = make_app(**SETTINGS | {"DATABASE_LOCK_TIMEOUT_S": "2"})
    async with served(app) as client:
        async with locked(api_database, "LOCK TABLE charging_session IN SHARE MODE"):
            bodies = [{"vehicleId": f"w-{n}", "meterId": f"w-{n}"} for n in range(6)]
            waiting = [
                asyncio.create_task(client.post(SESSIONS, json=body, headers=by(0)))
                for body in bodies
            ]
            await until(lambda: lane(app, "locked") == (2, 4))
            assert (await client.get("/health/ready")).status_code == 200
            for path in (CURRENT, PERFORMANCE):
                assert (await client.get(path, headers=by(0))).status_code == 200
            made = await client.post(METERS, json={"meterId": "n"}, headers=by(0))
            assert made.status_code == 201
            # They hold their connections no longer than a lock may be waited for.
            done, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            document = problem(done.pop().result(), 503)
            assert (
                document["detail"]
                == "the database is busy: another request is changing the same rows; ask again"
            )
        answers = await asyncio.gather(*waiting)
        assert {one.status_code for one in answers} == {201, 503}
        stored = rows.execute("SELECT count(*) AS n FROM charging_session").fetchone()
        assert stored == {"n": [one.status_code for one in answers].count(201)}
