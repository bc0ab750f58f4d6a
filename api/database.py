"""PostgreSQL: one pool for reads, one for writes, and an outage that is an answer (503)."""

import asyncio
import copy
import os
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from hashlib import blake2b

import psycopg
import structlog
from psycopg import AsyncConnection
from psycopg.rows import DictRow, dict_row
from psycopg.types.json import set_json_dumps
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from api.problems import Problem, busy, unavailable
from api.settings import PoolSettings
from api.sharing.lanes import LOCKED, LOOKUP, OWN, QUESTION, WRITE, Busy, Lane, make_lanes
from runtime import locks
from runtime.session import ENCODING, pinned, write_json

log = structlog.get_logger()

Connection = AsyncConnection[DictRow]
_Pool = AsyncConnectionPool[Connection]

_NAME = "PostgreSQL"
_CHECK_S = 1.0
# A pool that gives up soon tries again with the next request; its own pauses double and double.
_RECONNECT_S = 3.0
# What is given to PostgreSQL to end a statement by itself, and to the network beyond that.
_LATE_S, _GRACE_S = 1.0, 2.0
_MOMENT_S = 0.1
# To psycopg these are errors of the operation, as the loss of a connection is.
_CONTENDED = (
    psycopg.errors.LockNotAvailable,
    psycopg.errors.DeadlockDetected,
    psycopg.errors.SerializationFailure,
)
# What the server will not do, however often it is asked: no such table or function, no permission.
REFUSALS = {"0A", "26", "3F", "42"}
_REFUSED_HELP = "`python -m consumer schema check` says whether the schema is whole"
_WRITES = {WRITE, LOCKED}


class _Side:
    """The pool of the reads, or of the writes, and how many of its connections are lent."""

    def __init__(self, pool: _Pool) -> None:
        self.pool = pool
        self.lent = 0
        self.is_away = False
        """Whether the last one who sought a connection found none."""


class Database:
    """Lends connections: each statement a transaction of its own, unless one is begun.

    Each is lent in a lane, to a caller (`by`); by default to this process.
    """

    def __init__(
        self, settings: PoolSettings, *, note_refused: Callable[[str], None] = lambda _: None
    ) -> None:
        self._settings = settings
        self._note_refused = note_refused
        self._caller = "-"
        self._asks = QUESTION
        self.lanes = make_lanes(settings)
        self._write = _Side(self._pool(settings.database_url.get_secret_value(), "write"))
        read_url = settings.database_read_url
        # Without a replica the reads share the writes' pool, and its bound.
        self._read = (
            self._write
            if read_url is None
            else _Side(self._pool(read_url.get_secret_value(), "read"))
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
        write, read = self._write.pool, self._read.pool
        return {"write": write} | ({} if read is write else {"read": read})

    def by(self, caller: str) -> "Database":
        """Return the same, for what this caller asks."""
        database = copy.copy(self)
        database._caller = caller
        return database

    def own(self, work: str) -> "Database":
        """Return the same, for what this process asks of its own accord; a work at a time."""
        database = self.by(work)
        database._asks = OWN
        return database

    @asynccontextmanager
    async def lookup(self) -> AsyncIterator[Connection]:
        """Lend a connection for reading a row by its key; raises Problem (503) without one."""
        async with self._lend(LOOKUP) as connection:
            yield connection

    @asynccontextmanager
    async def read(self) -> AsyncIterator[Connection]:
        """Lend a connection for a question of any size; raises Problem (503) without one."""
        async with self._lend(self._asks) as connection:
            yield connection

    @asynccontextmanager
    async def write(self) -> AsyncIterator[Connection]:
        """Lend a connection for writing; raises Problem (503) without one."""
        async with self._lend(WRITE) as connection:
            yield connection

    @asynccontextmanager
    async def snapshot(self) -> AsyncIterator[Connection]:
        """Lend a connection whose statements all see the same state of the database."""
        async with self.read() as connection, connection.transaction():
            await connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            yield connection

    @asynccontextmanager
    async def entry(self) -> AsyncIterator[Connection]:
        """Lend a connection for what is to be known before an assignment or session is entered."""
        async with self._lend(LOCKED) as connection:
            yield connection

    @asynccontextmanager
    async def alone(self, *names: str) -> AsyncIterator[Connection]:
        """Lend a connection for a transaction that waits for all others about one of these names.

        Of two that insert ranges which exclude each other, PostgreSQL may find each waiting for
        the other, and end both by and by: here the first wins, and the second is told. Locks are
        taken in the order of their keys, so that no two transactions wait for each other.
        """
        keys = sorted({_lock_key(name) for name in names})
        async with self._lend(LOCKED) as connection, connection.transaction():
            await connection.execute(
                "SELECT pg_advisory_xact_lock(%s, key) FROM unnest(%s::integer[]) AS key",
                [locks.ENTRIES, keys],
            )
            yield connection

    @asynccontextmanager
    async def _lend(self, name: str) -> AsyncIterator[Connection]:
        lane, side = self.lanes[name], self._write if name in _WRITES else self._read
        try:
            async with lane.place(self._caller):
                with _explained():
                    try:
                        async with self._connection(name, side) as connection:
                            yield connection
                    except PoolTimeout as error:
                        raise self._without_connection(lane, side) from error
        except Busy as error:
            if side.is_away:
                raise unavailable(_NAME) from error
            self._note_refused(name)
            raise busy(f" {lane.at}: {error}") from error

    @asynccontextmanager
    async def _connection(self, name: str, side: _Side) -> AsyncIterator[Connection]:
        seconds = self._seconds(name)
        # What is written is ended by PostgreSQL only: it knows what it has done.
        late_s = None if name in _WRITES else seconds + _LATE_S
        async with side.pool.connection() as connection:
            side.lent += 1
            side.is_away = False
            try:
                with bounded(connection, seconds + _GRACE_S):
                    async with asyncio.timeout(late_s):
                        yield connection
            finally:
                side.lent -= 1

    def _without_connection(self, lane: Lane, side: _Side) -> Problem:
        if side.lent >= self._settings.database_pool_size:
            self._note_refused(lane.name)
            return busy(": all connections are taken")
        # Who waits behind would find the same.
        side.is_away = True
        lane.give_up(lambda: unavailable(_NAME))
        return unavailable(_NAME)

    def _seconds(self, name: str) -> float:
        most = self._settings.database_statement_timeout_s
        return min(most, self._settings.database_lookup_timeout_s) if name == LOOKUP else most

    async def _configure(self, connection: Connection) -> None:
        settings = self._settings
        session = pinned(
            statement_timeout=f"{round(settings.database_statement_timeout_s * 1_000)}ms",
            lock_timeout=f"{round(settings.database_lock_timeout_s * 1_000)}ms",
            idle_in_transaction_session_timeout="30s",
            jit="off",
        )
        set_json_dumps(write_json, connection)
        with bounded(connection, settings.database_connect_timeout_s):
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
            timeout=settings.database_pool_timeout_s,
            reconnect_timeout=_RECONNECT_S,
            check=_check,
            name=name,
            open=False,
        )


def _lock_key(name: str) -> int:
    """Return a hash of 32 bits; two names of one hash wait for each other, and no harm is done."""
    return int.from_bytes(blake2b(name.encode(), digest_size=4).digest(), "big", signed=True)


@contextmanager
def _explained() -> Iterator[None]:
    """Make a Problem (503) of what PostgreSQL does not do; the rest is for others to explain."""
    try:
        yield
    except (psycopg.errors.QueryCanceled, TimeoutError) as error:
        raise Problem(
            503, "the database took too long; ask for less", headers={"Retry-After": "5"}
        ) from error
    except _CONTENDED as error:
        raise busy(": others change the same") from error
    except (psycopg.OperationalError, psycopg.errors.ReadOnlySqlTransaction) as error:
        raise unavailable(_NAME) from error
    except psycopg.Error as error:
        if (error.sqlstate or "")[:2] not in REFUSALS:
            raise
        raise refused(error) from error


def refused(error: psycopg.Error) -> Problem:
    """Return what a client is told; PostgreSQL's own words are the operator's, in the log."""
    text = str(error).splitlines()[0]
    log.error("database_refuses", sqlstate=error.sqlstate, error=text, help=_REFUSED_HELP)
    detail = f"{_NAME} refuses ({error.sqlstate}): {_REFUSED_HELP}"
    return Problem(503, detail, headers={"Retry-After": "30"})


async def _check(connection: Connection) -> None:
    with bounded(connection, _CHECK_S):
        await AsyncConnectionPool.check_connection(connection)


@contextmanager
def bounded(connection: Connection, seconds: float) -> Iterator[None]:
    """Break the connection when the time is up: a network that is silent reports nothing.

    Cancelling would not do: psycopg then asks the same silent server to cancel, and waits. A loop
    that was busy for so long has yet to read what came meanwhile: it is given a moment for that.
    """
    loop = asyncio.get_running_loop()

    def wait_a_moment() -> None:
        timers.append(loop.call_later(_MOMENT_S, _break, connection))

    timers = [loop.call_later(seconds, wait_a_moment)]
    try:
        yield
    finally:
        for timer in timers:
            timer.cancel()


def _break(connection: Connection) -> None:
    if not connection.closed:
        with socket.socket(fileno=os.dup(connection.fileno())) as end, suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
