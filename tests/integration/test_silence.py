"""Connections to PostgreSQL on which no answer comes, while the other end still acknowledges."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest
from psycopg import AsyncConnection
from psycopg.pq import TransactionStatus
from pydantic import SecretStr

from api.postgres.database import Database
from api.settings import PoolSettings
from consumer.postgres.connection import connect
from consumer.settings import DatabaseSettings
from runtime.postgres.silence import bounded
from tests.faults.proxy import DOWN, UP, Proxy

Lend = Callable[[str], AbstractAsyncContextManager[AsyncConnection[Any]]]
PATIENCE_S = 30.0


@asynccontextmanager
async def of_consumer(url: str) -> AsyncIterator[AsyncConnection[Any]]:
    async with await connect(DatabaseSettings(database_url=SecretStr(url))) as connection:
        yield connection


@asynccontextmanager
async def of_api(url: str) -> AsyncIterator[AsyncConnection[Any]]:
    database = Database(PoolSettings(database_url=SecretStr(url)))
    async with database.opened(), database.read() as connection:
        yield connection


lends = pytest.mark.parametrize("lend", [of_consumer, of_api])


@pytest.fixture
def proxy(database_url: str) -> Iterator[Proxy]:
    """The network before PostgreSQL."""
    parts = urlsplit(database_url)
    assert parts.hostname is not None
    assert parts.port is not None
    with Proxy(parts.hostname, parts.port) as proxy:
        proxy.open()
        yield proxy


@pytest.fixture
def url(database_url: str, proxy: Proxy) -> str:
    """PostgreSQL's address behind the proxy."""
    return database_url.replace(f":{urlsplit(database_url).port}/", f":{proxy.port}/")


@lends
async def test_a_silent_connection_is_broken_when_the_time_is_up(
    lend: Lend, proxy: Proxy, url: str
) -> None:
    async with lend(url) as connection, asyncio.timeout(PATIENCE_S):
        proxy.faults.silent = frozenset({UP, DOWN})
        with pytest.raises(psycopg.OperationalError), bounded(connection, 0.1):
            await connection.execute("SELECT 1")
        assert connection.broken
        proxy.faults.silent = frozenset()


@lends
async def test_both_ends_are_told_when_to_give_up_a_peer_that_is_gone(lend: Lend, url: str) -> None:
    async with lend(url) as connection:
        chosen = connection.info.get_parameters()
        assert (chosen["keepalives_idle"], chosen["tcp_user_timeout"]) == ("10", "20000")
        cursor = await connection.execute(
            "SELECT current_setting('tcp_keepalives_idle') || ' ' ||"
            " current_setting('tcp_user_timeout') AS chosen"
        )
        [row] = await cursor.fetchall()
        [told] = row.values() if isinstance(row, dict) else row
        assert told == "10 20000"


@lends
async def test_a_loop_that_was_busy_is_not_taken_for_a_network_that_is_silent(
    lend: Lend, url: str
) -> None:
    async with lend(url) as connection:
        with bounded(connection, 0.05):
            asked = asyncio.create_task(connection.execute("SELECT 1"))
            while connection.info.transaction_status != TransactionStatus.ACTIVE:
                await asyncio.sleep(0)
            time.sleep(0.3)  # noqa: ASYNC251  the answer comes meanwhile, and is not read
            await asked
        await connection.execute("SELECT 1")  # it has not been broken


async def test_a_server_that_falls_silent_before_the_session_begins_is_not_waited_for(
    proxy: Proxy, url: str
) -> None:
    proxy.faults.silent = frozenset({DOWN})
    settings = DatabaseSettings(database_url=SecretStr(url), database_connect_timeout_s=1)
    with pytest.raises(psycopg.OperationalError):
        async with asyncio.timeout(PATIENCE_S):
            await connect(settings)
    proxy.faults.silent = frozenset()
