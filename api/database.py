"""PostgreSQL: one pool for reads, one for writes, and an outage that is an answer (503)."""

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from hashlib import blake2b

import psycopg
import structlog
from psycopg import AsyncConnection
from psycopg.rows import DictRow, dict_row
from psycopg.types.json import set_json_dumps
from psycopg_pool import AsyncConnectionPool, PoolTimeout, TooManyRequests

from api.problems import Problem, unavailable
from api.settings import PoolSettings
from telemetry.session import ENCODING, pinned, write_json

log = structlog.get_logger()

Connection = AsyncConnection[DictRow]
_Pool = AsyncConnectionPool[Connection]

_NAME = "PostgreSQL"
# Requests that wait for a connection; more than these are sent away at once.
_MOST_WAITING = 200
_CHECK_S = 1.0
# A pool that gives up soon tries again with the next request; its own pauses double and double.
_RECONNECT_S = 3.0
# What is given to a network beyond the time of a statement.
_GRACE_S = 2.0
# The first of two keys of an advisory lock; the second is a hash of what is locked.
_LOCK = 0x77617404
# Costs no look at a row: that the tables are there, and ours to read.
_PING = "SELECT 1 FROM meter_current_state, vehicle_current_state, meter, vehicle LIMIT 0"
# What the server will not do, however often it is asked: no such table or function, no permission.
_REFUSALS = {"0A", "26", "3F", "42"}
_REFUSED_HELP = "`python -m consumer schema check` says whether the schema is whole"


class Database:
    """Lends connections: each statement a transaction of its own, unless one is begun."""

    def __init__(self, settings: PoolSettings) -> None:
        self._settings = settings
        self._write = self._pool(settings.database_url.get_secret_value(), "write")
        read_url = settings.database_read_url
        # Without a replica the reads share the writes' pool, and its bound.
        self._read = (
            self._write if read_url is None else self._pool(read_url.get_secret_value(), "read")
        )

    @asynccontextmanager
    async def opened(self) -> AsyncIterator["Database"]:
        """Keep the pools open; PostgreSQL may be away at the start."""
        async with AsyncExitStack() as stack:
            for pool in self.pools.values():
                await pool.open(wait=False)
                stack.push_async_callback(pool.close)
            yield self

    @property
    def pools(self) -> dict[str, _Pool]:
        """The pools by what they are for."""
        return {"write": self._write} | ({} if self._read is self._write else {"read": self._read})

    @asynccontextmanager
    async def read(self) -> AsyncIterator[Connection]:
        """Lend a connection for reading; raises Problem (503) while there is none."""
        async with self._lend(self._read) as connection:
            yield connection

    @asynccontextmanager
    async def write(self) -> AsyncIterator[Connection]:
        """Lend a connection for writing; raises Problem (503) while there is none."""
        async with self._lend(self._write) as connection:
            yield connection

    @asynccontextmanager
    async def snapshot(self) -> AsyncIterator[Connection]:
        """Lend a connection whose statements all see the same state of the database."""
        async with self.read() as connection, connection.transaction():
            await connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            yield connection

    @asynccontextmanager
    async def alone(self, *names: str) -> AsyncIterator[Connection]:
        """Lend a connection for a transaction that waits for all others about one of these names.

        Of two that insert ranges which exclude each other, PostgreSQL may find each waiting for
        the other, and end both by and by: here the first wins, and the second is told. Locks are
        taken in the order of their keys, so that no two transactions wait for each other.
        """
        keys = sorted({_lock_key(name) for name in names})
        async with self.write() as connection, connection.transaction():
            await connection.execute(
                "SELECT pg_advisory_xact_lock(%s, key) FROM unnest(%s::integer[]) AS key",
                [_LOCK, keys],
            )
            yield connection

    async def ping(self) -> None:
        """Raise Problem (503) unless PostgreSQL answers for our tables, for reads and writes."""
        await asyncio.gather(*(self._ping(pool) for pool in self.pools.values()))

    async def _ping(self, pool: _Pool) -> None:
        async with self._lend(pool) as connection:
            await connection.execute(_PING)

    @asynccontextmanager
    async def _lend(self, pool: _Pool) -> AsyncIterator[Connection]:
        try:
            async with pool.connection() as connection:
                with _bounded(connection, self._settings.database_statement_timeout_s + _GRACE_S):
                    yield connection
        except (PoolTimeout, TooManyRequests) as error:
            raise unavailable(_NAME) from error
        except psycopg.errors.QueryCanceled as error:
            raise Problem(
                503, "the database took too long; ask for less", headers={"Retry-After": "5"}
            ) from error
        except (psycopg.OperationalError, psycopg.errors.ReadOnlySqlTransaction) as error:
            raise unavailable(_NAME) from error
        except psycopg.Error as error:
            if (error.sqlstate or "")[:2] not in _REFUSALS:
                raise
            raise _refused(error) from error

    async def _configure(self, connection: Connection) -> None:
        settings = self._settings
        session = pinned(
            statement_timeout=f"{round(settings.database_statement_timeout_s * 1_000)}ms",
            idle_in_transaction_session_timeout="30s",
            jit="off",
        )
        set_json_dumps(write_json, connection)
        with _bounded(connection, settings.database_connect_timeout_s):
            await connection.execute(*session)

    def _pool(self, url: str, name: str) -> _Pool:
        settings = self._settings
        return AsyncConnectionPool(
            url,
            connection_class=AsyncConnection[DictRow],
            kwargs={
                "autocommit": True,
                "row_factory": dict_row,
                "application_name": "wattline-api",
                "connect_timeout": settings.database_connect_timeout_s,
                "client_encoding": ENCODING,
            },
            configure=self._configure,
            min_size=1,
            max_size=settings.database_pool_size,
            max_waiting=_MOST_WAITING,
            timeout=settings.database_pool_timeout_s,
            reconnect_timeout=_RECONNECT_S,
            check=_check,
            name=name,
            open=False,
        )


def _lock_key(name: str) -> int:
    """Return a hash of 32 bits; two names of one hash wait for each other, and no harm is done."""
    return int.from_bytes(blake2b(name.encode(), digest_size=4).digest(), "big", signed=True)


def _refused(error: psycopg.Error) -> Problem:
    """Return what a client is told; PostgreSQL's own words are the operator's, in the log."""
    text = str(error).splitlines()[0]
    log.error("database_refuses", sqlstate=error.sqlstate, error=text, help=_REFUSED_HELP)
    detail = f"{_NAME} refuses ({error.sqlstate}): {_REFUSED_HELP}"
    return Problem(503, detail, headers={"Retry-After": "30"})


async def _check(connection: Connection) -> None:
    with _bounded(connection, _CHECK_S):
        await AsyncConnectionPool.check_connection(connection)


@contextmanager
def _bounded(connection: Connection, seconds: float) -> Iterator[None]:
    """Break the connection when the time is up: a network that is silent reports nothing.

    Cancelling would not do: psycopg then asks the same silent server to cancel, and waits.
    """
    timer = asyncio.get_running_loop().call_later(seconds, _break, connection)
    try:
        yield
    finally:
        timer.cancel()


def _break(connection: Connection) -> None:
    if not connection.closed:
        with socket.socket(fileno=os.dup(connection.fileno())) as end, suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
