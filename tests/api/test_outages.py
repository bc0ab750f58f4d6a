"""Servers that are away: a prompt 503, bounded memory, and recovery once they are back."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import psutil
import pytest
from fastapi import FastAPI

from deploy.local.stack import Addresses
from tests.api.conftest import Client, Environment, Rows, problem, until_ready
from tests.api.process import Process
from tests.api.readings import encode, meter
from tests.asked import JSON, PATIENCE_S, asked
from tests.faults.proxy import DOWN, UP, Proxy
from tests.faults.servers import Kafka, Servers

METER = "/v1/telemetry/meter"
BATCH = f"{METER}/batch"
STATE = "/v1/telemetry/meters/current"
KAFKA_S = 2.0
POSTGRES_S = 3.0
# Another process may have the core for a while.
SLACK_S = 1.0
MIB = 1 << 20
# Of a process, by what its allocators like.
GROWTH = 16 * MIB


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kafka]:
    """A broker of these tests' own, whose clients all come through a proxy."""
    with Servers(tmp_path_factory.mktemp("servers")) as servers:
        yield servers.kafka


@asynccontextmanager
async def within(seconds: float) -> AsyncIterator[None]:
    begun = time.monotonic()
    yield
    assert time.monotonic() - begun < seconds + SLACK_S


async def recovered(ask: Callable[[], "asyncio.Future[httpx.Response]"], status: int) -> None:
    """Return once the answer has the wanted status."""
    async with asyncio.timeout(PATIENCE_S):
        while (answer := await ask()).status_code != status:
            problem(answer, 503)
            await asyncio.sleep(0.1)


def send(
    client: Client, body: bytes | None = None, path: str = METER
) -> "asyncio.Task[httpx.Response]":
    content = body or encode(meter())
    return asyncio.ensure_future(client.post(path, content=content))


def read(client: Client) -> "asyncio.Task[httpx.Response]":
    return asyncio.ensure_future(client.get(STATE))


def take_away(proxy: Proxy, fault: str) -> None:
    """Refuse connections, or let those that there are be silent."""
    if fault == "cut":
        proxy.cut()
    else:
        proxy.faults.silent = frozenset({UP, DOWN})


def give_back(proxy: Proxy) -> None:
    proxy.faults.silent = frozenset()
    proxy.open()


@pytest.mark.parametrize("fault", ["cut", "silent"])
async def test_without_kafka_readings_are_503(
    make_app: Callable[..., FastAPI], broker: Kafka, fault: str
) -> None:
    assert broker.proxy is not None
    give_back(broker.proxy)
    app = make_app(
        KAFKA_BOOTSTRAP_SERVERS=f"127.0.0.1:{broker.proxy.port}", GATEWAY_TIMEOUT_MS="500"
    )
    async with asked(app) as client:
        await recovered(lambda: send(client), 202)
        take_away(broker.proxy, fault)
        async with within(KAFKA_S):
            answer = await send(client)
            problem(answer, 503)
            assert int(answer.headers["retry-after"]) > 0
        # Reads go on, and readiness says who is missing.
        assert (await read(client)).status_code == 200
        await until_ready(client, 503, database=True, kafka=False)
        assert (await client.get("/health/live")).status_code == 200
        give_back(broker.proxy)
        await recovered(lambda: send(client), 202)
        await until_ready(client, 200, database=True, kafka=True)


@pytest.mark.timeout(300)  # two thousand requests, beside whatever else runs
@pytest.mark.parametrize("fault", ["cut", "silent"])
async def test_memory_is_flat_for_as_long_as_kafka_is_away(
    environment: Environment, broker: Kafka, tmp_path: Path, fault: str
) -> None:
    assert broker.proxy is not None
    give_back(broker.proxy)
    own = {
        "KAFKA_BOOTSTRAP_SERVERS": f"127.0.0.1:{broker.proxy.port}",
        # 503 comes soon; what waits may still do so for a second more.
        "GATEWAY_TIMEOUT_MS": "100",
        "GATEWAY_BUFFER_BYTES": str(4 * MIB),
    }
    single = encode(meter())
    batch = encode({"data": [meter(pad="x" * 20_000) for _ in range(16)]})
    with Process(environment | own, log_file=tmp_path / "api.log") as process:
        memory = psutil.Process(process.process.pid).memory_info
        # To look whether a hundred connections can be used again costs more than to open them.
        limits = httpx.Limits(max_keepalive_connections=0)
        async with httpx.AsyncClient(
            base_url=process.address, headers=JSON, timeout=PATIENCE_S, limits=limits
        ) as client:

            async def insist(rounds: int) -> int:
                """Send a hundred requests at once, so often; return the bytes that were sent."""
                for _ in range(rounds):
                    answers = await asyncio.gather(
                        *(client.post(METER, content=single) for _ in range(90)),
                        *(client.post(BATCH, content=batch) for _ in range(10)),
                    )
                    assert {one.status_code for one in answers} == {503}
                return rounds * (90 * len(single) + 10 * len(batch))

            await recovered(lambda: send(client), 202)
            take_away(broker.proxy, fault)
            await insist(5)
            before = memory().rss
            sent = await insist(14)
            assert sent > 2.5 * GROWTH
            assert memory().rss - before < GROWTH
            give_back(broker.proxy)
            await recovered(lambda: send(client), 202)


async def test_kafka_may_come_after_the_start(
    make_app: Callable[..., FastAPI], servers: Addresses
) -> None:
    host, port = servers.kafka_bootstrap_servers.split(",")[0].rsplit(":", 1)
    with Proxy(host, int(port)) as proxy:
        proxy.open()
        proxy.cut()
        async with asked(make_app(KAFKA_BOOTSTRAP_SERVERS=f"127.0.0.1:{proxy.port}")) as client:
            async with within(KAFKA_S):
                problem(await send(client), 503)
            proxy.open()
            await recovered(lambda: send(client), 202)


@pytest.mark.parametrize("fault", ["cut", "silent"])
async def test_without_postgresql_reads_are_503_and_readings_are_taken(
    make_app: Callable[..., FastAPI], api_database: str, rows: Rows, fault: str
) -> None:
    parts = urlsplit(api_database)
    assert parts.hostname is not None
    assert parts.port is not None
    with Proxy(parts.hostname, parts.port) as proxy:
        proxy.open()
        url = api_database.replace(f":{parts.port}/", f":{proxy.port}/")
        async with asked(make_app(DATABASE_URL=url, DATABASE_POOL_TIMEOUT_S="0.5")) as client:
            await recovered(lambda: read(client), 200)
            # Several connections lie in the pool when the server goes.
            await asyncio.gather(*(read(client) for _ in range(8)))
            take_away(proxy, fault)
            for _ in range(2):
                async with within(POSTGRES_S):
                    answers = await asyncio.gather(*(read(client) for _ in range(12)))
                for answer in answers:
                    # Not "busy", which would not tell the operator that PostgreSQL is away.
                    assert problem(answer, 503)["detail"] == "PostgreSQL cannot be reached"
                    assert int(answer.headers["retry-after"]) > 0
            await until_ready(client, 503, database=False, kafka=True)
            assert (await send(client)).status_code == 202
            give_back(proxy)
            async with within(2 * POSTGRES_S):
                await recovered(lambda: read(client), 200)
            await until_ready(client, 200, database=True, kafka=True)


async def test_readiness_asks_the_database_that_is_written_to_as_well(
    make_app: Callable[..., FastAPI], api_database: str, rows: Rows, tmp_path: Path
) -> None:
    parts = urlsplit(api_database)
    away = api_database.replace(f":{parts.port}/", ":1/")
    app = make_app(DATABASE_URL=away, DATABASE_READ_URL=api_database)
    async with asked(app) as client:
        assert (await read(client)).status_code == 200
        await until_ready(client, 503, database=False)
        problem(await client.post("/v1/devices/meters", json={"meterId": "m"}), 503)
