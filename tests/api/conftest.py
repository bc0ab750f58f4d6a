"""The API on a real Kafka and a real PostgreSQL, asked over ASGI or over TCP."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager

import httpx
import psycopg
import pytest
import uvicorn
from fastapi import FastAPI
from psycopg.rows import DictRow, dict_row

from api.app import create_app
from api.settings import ListenSettings, Settings
from deploy.local.stack import Addresses
from runtime.http.server import configuration
from runtime.kafka.settings import KafkaSettings
from runtime.kafka.topics import create_topics
from runtime.settings import load
from tests.asked import JSON, PATIENCE_S, asked, topics_made
from tests.databases import Template

Rows = psycopg.Connection[DictRow]
Environment = dict[str, str]
Client = httpx.AsyncClient
Serve = Callable[..., AbstractAsyncContextManager[Client]]


class _Server(uvicorn.Server):
    """uvicorn within a test, which has the signals."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@pytest.fixture(scope="session")
def api_database(servers: Addresses, template: Template) -> Iterator[str]:
    """One database for these tests: its history has partitions, and the topics are there."""
    asyncio.run(
        create_topics(KafkaSettings(bootstrap_servers=servers.kafka_bootstrap_servers)),
    )
    with template.copy() as url:
        with psycopg.connect(url) as connection:
            for history in ("meter_history", "vehicle_history"):
                connection.execute(
                    f"CREATE TABLE {history}_all PARTITION OF {history}"
                    " FOR VALUES FROM ('2000-01-01Z') TO ('2100-01-01Z')"
                )
        yield url


@pytest.fixture
def rows(api_database: str) -> Iterator[Rows]:
    """A connection to the database, whose tables are empty."""
    with psycopg.connect(api_database, autocommit=True, row_factory=dict_row) as connection:
        connection.execute(
            "TRUNCATE meter, vehicle, vehicle_meter_assignment, charging_session, meter_history,"
            " vehicle_history, meter_current_state, vehicle_current_state, rollup_due, vehicle_due,"
            " vehicle_day, vehicle_day_done, history_removed"
        )
        yield connection


@pytest.fixture
def environment(
    servers: Addresses, api_database: str, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> Environment:
    """The settings of the API in these tests, in the environment too."""
    settings = {
        "KAFKA_BOOTSTRAP_SERVERS": servers.kafka_bootstrap_servers,
        "DATABASE_URL": api_database,
        "RATE_LIMIT_PER_MINUTE": "0",
    }
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    return settings


@pytest.fixture
def make_app(environment: Environment, monkeypatch: pytest.MonkeyPatch) -> Callable[..., FastAPI]:
    """Make the application with settings that differ."""

    def make(**settings: str) -> FastAPI:
        for name, value in settings.items():
            monkeypatch.setenv(name, value)
        return create_app(Settings())

    return make


@pytest.fixture
async def client(make_app: Callable[..., FastAPI]) -> AsyncIterator[Client]:
    """The application, asked over ASGI."""
    async with asked(make_app()) as one:
        yield one


@asynccontextmanager
async def served(app: FastAPI) -> AsyncIterator[Client]:
    """Run the application and ask it over TCP: what streams does so only there."""
    listening = socket.create_server(("127.0.0.1", 0))
    metrics = app.state.parts.metrics
    server = _Server(
        configuration(
            app,
            settings=load(ListenSettings),
            refused=metrics.refused,
            connections=metrics.connections,
            timeout_graceful_shutdown=5,
        )
    )
    running = asyncio.create_task(server.serve(sockets=[listening]))
    port = listening.getsockname()[1]
    try:
        async with httpx.AsyncClient(
            base_url=f"http://127.0.0.1:{port}", headers=JSON, timeout=PATIENCE_S
        ) as one:
            while not server.started:
                await asyncio.sleep(0.01)
            await topics_made()
            yield one
    finally:
        app.state.parts.live.end()
        server.should_exit = True
        await running


async def until_ready(client: Client, status: int, **checks: bool) -> None:
    """Return once readiness is so, which is looked at once a second."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            answer = await client.get("/health/ready")
            found = answer.json()["checks"]
            if answer.status_code == status and found == found | checks:
                return
            await asyncio.sleep(0.05)


def problem(answer: httpx.Response, status: int, field: str | None = None) -> dict[str, object]:
    """Check that the answer is a problem document of this status, about this field."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["x-content-type-options"] == "nosniff"
    document: dict[str, object] = answer.json()
    assert document["status"] == status
    assert document["title"]
    assert document["detail"]
    if field is not None:
        errors = document["errors"]
        assert isinstance(errors, list)
        assert field in [one["field"] for one in errors]
    return document
