"""Poolers: a proxy that lends out sessions is noticed, and refused if clients share sessions.

Settings, advisory locks and prepared statements belong to a session. If a pooler gives each
transaction or statement another one (PgBouncer's `pool_mode` transaction and statement), they are
another client's, and a prepared statement of the same name may be a wrong one.

1. A client is told its session's process when it connects. A pooler tells a number of its own.
2. Then a second connection is sacrificed for a proof. The first one ends the second one's session
   while that is idle. If the session was its own, the second client hears of it unasked. If not,
   nobody is told, and its next statement is answered by another session.
3. The proof holds for a minute. Until then a second statement has to meet the same session.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any, LiteralString

import psycopg
from psycopg import AsyncConnection, Connection
from psycopg.conninfo import make_conninfo
from psycopg.errors import AdminShutdown
from psycopg.rows import tuple_row

from runtime.postgres.silence import bounded

_PROVEN_FOR_S = 60.0
_SOON_S = 0.2
_PID = "SELECT pg_catalog.pg_backend_pid()"
# Not one that works for somebody, and not the one that is asked.
_END = """
SELECT pg_catalog.pg_backend_pid(), (
    SELECT pg_catalog.pg_terminate_backend(pid) FROM pg_catalog.pg_stat_activity
    WHERE pid = %s AND pid <> pg_catalog.pg_backend_pid() AND state IN ('idle', 'disabled'))
"""
_REFUSED = (
    "the pooler before PostgreSQL gives a client another session for each transaction: set its"
    " pool_mode to session (PgBouncer), or connect without it"
)

Place = tuple[str, int, str, str]
Ask = Callable[[LiteralString, list[int]], Awaitable[tuple[Any, ...]]]
# By host, port, database and role: when it was proven that sessions are kept there.
_proven: dict[Place, float] = {}


class SharedSession(psycopg.Error):
    """A pooler lends this client's session to others. The message is one line.

    It counts as a statement that PostgreSQL refuses: the server is well, and waiting may help.
    """

    # Of the class of what is not there or not allowed; no code of PostgreSQL's own.
    sqlstate = "42WL3"


async def require_own_session(
    connection: AsyncConnection[Any], pid: int, *, seconds: float
) -> None:
    """Raise SharedSession if a pooler may lend the connection's session to others.

    `pid` is the process of PostgreSQL that has answered on it. Without a pooler this costs nothing;
    with one it takes a statement, and a connection once a minute. Raises psycopg.Error too, after
    `seconds` at the latest.
    """

    async def ask(question: LiteralString, parameters: list[int]) -> tuple[Any, ...]:
        cursor = connection.cursor(row_factory=tuple_row)
        await cursor.execute(question, parameters, prepare=False)
        return await cursor.fetchone() or ()

    if pid != connection.info.backend_pid:
        with bounded(connection, seconds):
            await _require_kept(connection, pid, ask, seconds)


def require_own_session_now(connection: Connection[Any], pid: int, *, seconds: float) -> None:
    """Do the same for a tool that has no event loop."""

    async def ask(question: LiteralString, parameters: list[int]) -> tuple[Any, ...]:
        cursor = connection.cursor(row_factory=tuple_row)
        return cursor.execute(question, parameters, prepare=False).fetchone() or ()

    if pid != connection.info.backend_pid:
        asyncio.run(_require_kept(connection, pid, ask, seconds))


async def _require_kept(
    connection: AsyncConnection[Any] | Connection[Any], pid: int, ask: Ask, seconds: float
) -> None:
    info = connection.info
    place = info.host, info.port, info.dbname, info.user
    if time.monotonic() - _proven.get(place, float("-inf")) > _PROVEN_FOR_S:
        # Once more to the very host that this connection has found.
        one = {"host": info.host, "hostaddr": info.hostaddr or None, "port": info.port}
        conninfo = make_conninfo(info.dsn, **one, password=info.password or None)
        try:
            is_kept = await _is_kept(conninfo, pid, ask, seconds)
        except AdminShutdown as error:  # by another client's proof
            raise SharedSession(_REFUSED) from error
        if not is_kept:
            raise SharedSession(_REFUSED)
        _proven[place] = time.monotonic()
    if await ask(_PID, []) != (pid,):
        _proven.pop(place, None)
        raise SharedSession(_REFUSED)


async def _is_kept(conninfo: str, pid: int, ask: Ask, seconds: float) -> bool:
    """Return whether a new connection has a session of its own, which `ask` can end.

    `pid` is the process that should answer `ask`. Raises psycopg.Error if a session that is lent
    out ends just as a statement reaches it.
    """
    probe = await AsyncConnection.connect(conninfo, autocommit=True, prepare_threshold=None)
    try:
        with bounded(probe, seconds):
            session = await _process(probe)
            while await _process(probe) == session:
                answered, _ = await ask(_END, [session])
                if answered != pid or answered == session:
                    return False
                if await _hears(probe):
                    return True
            return False
    finally:
        await probe.close()


async def _process(connection: AsyncConnection[Any]) -> int:
    cursor = await connection.execute(_PID)
    (pid,) = await cursor.fetchone() or (0,)
    return int(pid)


async def _hears(connection: AsyncConnection[Any]) -> bool:
    """Return whether something arrives soon, although nothing was asked."""
    loop, heard = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(connection.fileno(), heard.set)
    try:
        await asyncio.wait_for(heard.wait(), _SOON_S)
    except TimeoutError:
        return False
    finally:
        loop.remove_reader(connection.fileno())
    return True
