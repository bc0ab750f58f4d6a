"""Connections to PostgreSQL, lent in lanes: one pool for writes, and one for reads on a replica."""

import asyncio
import copy
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from datetime import datetime
from hashlib import blake2b

from psycopg import AsyncConnection
from psycopg.errors import ReadOnlySqlTransaction
from psycopg.rows import DictRow, dict_row
from psycopg_pool import AsyncConnectionPool, PoolTimeout
from pydantic import SecretStr

from api.postgres.failures import away, explained
from api.postgres.lanes import LOCKED, LOOKUP, OWN, QUESTION, WRITE, Busy, Lane, make_lanes
from api.postgres.replay import Replay
from api.problems import Problem, busy
from api.settings import PoolSettings
from runtime.postgres import locks
from runtime.postgres.arrays import load_arrays
from runtime.postgres.session import ENCODING, begin
from runtime.postgres.silence import TCP, bounded, tcp_session

Connection = AsyncConnection[DictRow]
Lent = AbstractAsyncContextManager[Connection]

_CHECK_S = 1.0
# A pool that gives up soon tries again with the next request; its own pauses double each time.
_RECONNECT_S = 3.0
# PostgreSQL ends a statement first; if it does not, this process does; then the network is silent.
_LATE_S, _GRACE_S = 1.0, 2.0
_WRITES = {WRITE, LOCKED}
# A batch about thousands of devices takes many of them. By default PostgreSQL has room for some
# 6,400 locks of all kinds and of all sessions.
_LOCKS = 1_024


class _Session(AsyncConnection[DictRow]):
    """A connection of a pool."""

    as_of: datetime | None = None
    """Of a replica: the time of which its answers are at the earliest."""


_Pool = AsyncConnectionPool[_Session]


class _Side:
    """The pool of the reads or of the writes, and how many of its connections are lent."""

    def __init__(self, pool: _Pool) -> None:
        self.pool = pool
        self.lent = 0
        self.is_away = False
        """Whether the last request for a connection failed to get one."""


class Database:
    """Lends connections in lanes. They are in autocommit until a transaction is begun.

    A lane shares its connections out between callers; `by` names the caller. Every way of lending
    raises Problem (503) if no connection can be lent, or if PostgreSQL refuses or fails.
    """

    def __init__(
        self,
        settings: PoolSettings,
        *,
        replay: Replay | None = None,
        note_refused: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._settings = settings
        self._replay = replay or Replay()
        self._note_refused = note_refused
        self._note_as_of: Callable[[datetime], None] = lambda _: None
        self._caller = "-"
        self._asks = QUESTION
        self.lanes = make_lanes(settings)
        self._write = _Side(self._pool(settings.database_url, "write", check=_check))
        read_url = settings.database_read_url
        # Without a replica the reads share the writes' pool, and its bound.
        self._read = (
            self._write
            if read_url is None
            else _Side(self._pool(read_url, "read", check=self._look))
        )

    @asynccontextmanager
    async def opened(self) -> AsyncIterator["Database"]:
        """Open the pools, and close them at the end; PostgreSQL may be away at the start."""
        async with AsyncExitStack() as stack:
            for pool in self.pools.values():
                await pool.open(wait=False)
                stack.push_async_callback(pool.close)
            yield self

    @property
    def pools(self) -> dict[str, _Pool]:
        """The pools by name: `write`, and `read` if reads have a replica."""
        write, read = self._write.pool, self._read.pool
        return {"write": write} | ({} if read is write else {"read": read})

    def by(
        self, caller: str, *, note_as_of: Callable[[datetime], None] = lambda _: None
    ) -> "Database":
        """Return this database for one caller.

        `note_as_of` is told of which time a replica's answers are, with each connection to it.
        """
        database = copy.copy(self)
        database._caller = caller
        database._note_as_of = note_as_of
        return database

    def own(self, work: str) -> "Database":
        """Return this database for work of this process itself; each work asks one at a time."""
        database = self.by(work)
        database._asks = OWN
        return database

    def lookup(self) -> Lent:
        """Lend a connection for reading a row by its key."""
        return self._lend(LOOKUP)

    def read(self) -> Lent:
        """Lend a connection for a question of any size."""
        return self._lend(self._asks)

    def write(self) -> Lent:
        """Lend a connection for writing."""
        return self._lend(WRITE)

    @asynccontextmanager
    async def snapshot(self) -> AsyncIterator[Connection]:
        """Lend a connection whose statements all see the same state of the database."""
        async with self.read() as connection, _one_state(connection):
            yield connection

    @asynccontextmanager
    async def entry(self) -> AsyncIterator[Connection]:
        """Lend a snapshot for the reads that precede an assignment or a session."""
        async with self._lend(LOCKED) as connection, _one_state(connection):
            yield connection

    @asynccontextmanager
    async def alone(self, *names: str) -> AsyncIterator[Connection]:
        """Lend a connection in a transaction that excludes all others about one of these names.

        Two transactions that insert overlapping ranges can wait for each other, and PostgreSQL may
        end both. With these locks the first one wins and the second one is told. Locks are taken
        in the order of their keys, so that no two transactions wait for each other.
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
                with explained(is_question=name not in _WRITES):
                    try:
                        async with self._connection(name, side) as connection:
                            yield connection
                    except PoolTimeout as error:
                        raise self._without_connection(lane, side) from error
        except Busy as error:
            if side.is_away:
                raise away() from error
            self._note_refused(name)
            raise busy(f" {lane.at}: {error}") from error

    @asynccontextmanager
    async def _connection(self, name: str, side: _Side) -> AsyncIterator[Connection]:
        seconds = self._seconds(name)
        # Only PostgreSQL ends a write: it alone knows what it has done.
        late_s = None if name in _WRITES else seconds + _LATE_S
        async with side.pool.connection() as connection:
            side.lent += 1
            side.is_away = False
            if connection.as_of is not None:
                self._note_as_of(connection.as_of)
            try:
                with bounded(connection, seconds + _GRACE_S):
                    async with asyncio.timeout(late_s):
                        yield connection
            except ReadOnlySqlTransaction:
                # This server was made a standby, or is about to be: another one takes writes.
                await side.pool.drain()
                raise
            finally:
                side.lent -= 1

    def _without_connection(self, lane: Lane, side: _Side) -> Problem:
        if side.lent >= self._settings.database_pool_size:
            self._note_refused(lane.name)
            return busy(": all connections are taken")
        # The others in the lane would wait for the same and not get it.
        side.is_away = True
        lane.give_up(away)
        return away()

    def _seconds(self, name: str) -> float:
        most = self._settings.database_statement_timeout_s
        return min(most, self._settings.database_lookup_timeout_s) if name == LOOKUP else most

    async def _configure(self, connection: Connection) -> None:
        settings = self._settings
        load_arrays(connection)
        await begin(
            connection,
            seconds=settings.database_connect_timeout_s,
            statement_timeout=f"{round(settings.database_statement_timeout_s * 1_000)}ms",
            lock_timeout=f"{round(settings.database_lock_timeout_s * 1_000)}ms",
            idle_in_transaction_session_timeout="30s",
            jit="off",
            **tcp_session(),
        )

    async def _look(self, connection: _Session) -> None:
        """Do what `_check` does, by a question whose answer is of use."""
        with bounded(connection, _CHECK_S):
            connection.as_of = await self._replay.look(connection)

    def _pool(
        self, url: SecretStr, name: str, *, check: Callable[[_Session], Awaitable[None]]
    ) -> _Pool:
        settings = self._settings
        return AsyncConnectionPool(
            url.get_secret_value,  # called for each connection: the password may be rotated
            connection_class=_Session,
            kwargs={
                "autocommit": True,
                "row_factory": dict_row,
                "application_name": "wattline-api",
                "connect_timeout": settings.database_connect_timeout_s,
                "client_encoding": ENCODING,
                **TCP,
            },
            configure=self._configure,
            min_size=1,
            max_size=settings.database_pool_size,
            timeout=settings.database_pool_timeout_s,
            reconnect_timeout=_RECONNECT_S,
            check=check,
            name=name,
            open=False,
        )


@asynccontextmanager
async def _one_state(connection: Connection) -> AsyncIterator[None]:
    """Let all statements see the same state of the database."""
    async with connection.transaction():
        await connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        yield


def _lock_key(name: str) -> int:
    """Return one of `_LOCKS` keys; two names with the same key only wait for each other."""
    return int.from_bytes(blake2b(name.encode(), digest_size=4).digest(), "big") % _LOCKS


async def _check(connection: Connection) -> None:
    with bounded(connection, _CHECK_S):
        await AsyncConnectionPool.check_connection(connection)
