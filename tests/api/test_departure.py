"""Clients that leave before their answer: their statement ends, unless it writes."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import psycopg
import pytest
from fastapi import FastAPI

from api.live import stream as live_module
from tests.api.conftest import Client, Rows, served
from tests.api.readings import MINUTE, NOW, store_vehicle
from tests.api.waiting import until
from tests.asked import PATIENCE_S

PERFORMANCE = "/v1/analytics/performance/v-1"
# Nothing ends by its time.
PATIENT = {
    "DATABASE_POOL_TIMEOUT_S": "60",
    "DATABASE_QUESTION_WAIT_S": "60",
    "DATABASE_LOCK_TIMEOUT_S": "60",
    "DATABASE_LOOKUP_TIMEOUT_S": "60",
    "DATABASE_STATEMENT_TIMEOUT_S": "60",
}


class Backends:
    """The sessions of the API with PostgreSQL, as another session sees them."""

    def __init__(self, rows: Rows) -> None:
        self.rows = rows

    def pids(self, where: str = "true") -> set[int]:
        found = self.rows.execute(
            "SELECT pid FROM pg_stat_activity WHERE datname = current_database()"
            f" AND application_name = 'wattline-api' AND {where}".encode()
        )
        return {row["pid"] for row in found.fetchall()}

    def stuck(self) -> set[int]:
        """Those whose statement waits for the lock of the test."""
        return self.pids("state = 'active' AND wait_event_type = 'Lock'")


@pytest.fixture
def backends(rows: Rows) -> Backends:
    return Backends(rows)


@asynccontextmanager
async def locked(url: str, table: str) -> AsyncIterator[None]:
    async with await psycopg.AsyncConnection.connect(url) as connection:
        await connection.execute(f"LOCK TABLE {table}".encode())
        yield


@asynccontextmanager
async def asking(client: Client, *heads: str, body: bytes = b"") -> AsyncIterator[None]:
    """Send requests over one connection, and close it without reading."""
    address = client.base_url
    _, writer = await asyncio.open_connection(address.host, address.port)
    try:
        for head in heads:
            writer.write(f"{head} HTTP/1.1\r\nHost: localhost\r\n".encode())
            if body:
                writer.write(
                    b"Content-Type: application/json\r\nContent-Length: %d\r\n" % len(body)
                )
            writer.write(b"\r\n" + body)
        yield
    finally:
        writer.close()
        await writer.wait_closed()


def is_free(app: FastAPI) -> bool:
    lanes = app.state.parts.database.lanes.values()
    return not any(lane.busy or lane.waiting for lane in lanes if lane.name != "own")


@pytest.mark.parametrize(
    ("head", "table"),
    [
        (f"GET {PERFORMANCE}", "vehicle_meter_assignment"),
        (f"HEAD {PERFORMANCE}", "vehicle_meter_assignment"),
        ("GET /v1/analytics/anomalies?limit=1000", "vehicle_meter_assignment"),
        ("GET /vehicles/v-1", "vehicle"),  # in a transaction
        ("GET /v1/telemetry/vehicle/v-1/current", "vehicle_current_state"),
    ],
)
async def test_the_statement_ends_with_its_client_and_its_connection_serves_others(
    make_app: Callable[..., FastAPI],
    api_database: str,
    backends: Backends,
    head: str,
    table: str,
) -> None:
    store_vehicle(backends.rows, "v-1", [(NOW - MINUTE, 1.0)])
    app = make_app(**PATIENT)
    async with served(app) as client:
        # A connection is there, and no look of the process itself is on its way.
        assert (await client.get(PERFORMANCE)).status_code == 200
        async with locked(api_database, table):
            async with asking(client, head):
                await until(lambda: bool(backends.stuck()))
                (pid,) = backends.stuck()
            # The lock is still held.
            await until(lambda: not backends.stuck())
            await until(lambda: is_free(app))
        before = backends.pids()
        assert pid in before
        page = (await client.get("/metrics")).text
        assert page.count(',status="499"} 1.0') == 1
        assert 'status="500"' not in page
        for _ in range(3):
            assert (await client.get(PERFORMANCE)).status_code == 200
        assert backends.pids() == before


async def test_a_client_that_leaves_stops_waiting_for_a_connection(
    make_app: Callable[..., FastAPI], api_database: str, rows: Rows, backends: Backends
) -> None:
    app = make_app(**PATIENT, DATABASE_QUESTIONS_OF_ONE="1")
    lane = app.state.parts.database.lanes["question"]
    async with served(app) as client, locked(api_database, "vehicle_history"):
        async with asking(client, f"GET {PERFORMANCE}"):
            await until(lambda: bool(backends.stuck()))
            async with asking(client, f"GET {PERFORMANCE}"):
                await until(lambda: lane.waiting == 1)
            await until(lambda: lane.waiting == 0)
            assert lane.busy == 1
        await until(lambda: is_free(app))


async def test_a_listener_that_leaves_while_it_catches_up_breaks_no_connection(
    make_app: Callable[..., FastAPI],
    api_database: str,
    backends: Backends,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Not to wait for a first look that does not come.
    monkeypatch.setattr(live_module, "BEGIN_S", 0.01)
    app = make_app(**PATIENT)
    database = app.state.parts.database
    async with served(app) as client:
        async with locked(api_database, "vehicle_current_state"):
            address = client.base_url
            _, writer = await asyncio.open_connection(address.host, address.port)
            writer.write(b"GET /v1/live HTTP/1.1\r\nHost: localhost\r\nLast-Event-ID: 1\r\n\r\n")
            await until(lambda: len(backends.stuck()) == 2)  # this, and the look of all
            before = backends.pids()
            writer.close()
            await until(lambda: len(backends.stuck()) == 1)
            await until(lambda: database.lanes["question"].busy == 0)
        assert backends.pids() == before
        assert (await client.get("/v1/telemetry/vehicles/current")).status_code == 200


async def test_a_write_runs_to_its_end(
    make_app: Callable[..., FastAPI], api_database: str, rows: Rows, backends: Backends
) -> None:
    def is_stored() -> bool:
        return rows.execute("SELECT FROM meter WHERE meter_id = 'm-1'").fetchone() is not None

    app = make_app(**PATIENT)
    async with served(app) as client:
        async with locked(api_database, "meter IN SHARE MODE"):
            async with asking(client, "POST /v1/devices/meters", body=b'{"meterId": "m-1"}'):
                await until(lambda: bool(backends.stuck()))
            assert not is_stored()
            # It is still at it once others have been answered.
            assert (await client.get(PERFORMANCE)).status_code == 404
            assert backends.stuck()
        await until(is_stored)
        await until(lambda: is_free(app))


async def test_requests_that_follow_each_other_on_a_connection_are_all_answered(
    make_app: Callable[..., FastAPI], rows: Rows
) -> None:
    async with served(make_app()) as client:
        for _ in range(3):  # kept alive
            assert (await client.get("/v1/telemetry/vehicles/current")).status_code == 200
        address = client.base_url
        reader, writer = await asyncio.open_connection(address.host, address.port)
        request = b"GET /v1/telemetry/vehicles/current HTTP/1.1\r\nHost: localhost\r\n"
        # The second comes before the first is answered; the body of a GET is dropped.
        writer.write(request + b"Content-Length: 5\r\n\r\n12345" + request + b"\r\n")
        writer.write(request + b"Connection: close\r\n\r\n")
        async with asyncio.timeout(PATIENCE_S):
            text = await reader.read()
        assert text.count(b"HTTP/1.1 200 OK") == 3
        writer.close()
        await writer.wait_closed()
