"""Connections to PostgreSQL, and the knowledge whether it is there."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

import numpy as np
import structlog
from psycopg import AsyncConnection
from psycopg.rows import TupleRow
from psycopg.types.json import set_json_dumps

from consumer.arrays import ArrayDumper
from consumer.breaker import Breaker, State
from consumer.metrics import Metrics
from consumer.retry import cause_of, is_conflict, is_outage, is_worth_waiting, pause
from consumer.settings import DatabaseSettings
from telemetry.session import ENCODING, pinned, write_json

log = structlog.get_logger()

# A peer that is gone without a word is noticed after about 20 s, see tcp(7).
_KEEPALIVES = {"keepalives_idle": 10, "keepalives_interval": 3, "keepalives_count": 3}
_USER_TIMEOUT_MS = 20_000

Connection = AsyncConnection[TupleRow]
Result = TypeVar("Result")


async def connect(settings: DatabaseSettings) -> Connection:
    """Open a connection with its settings pinned and every timeout set; raises psycopg.Error."""
    connection = await AsyncConnection.connect(
        settings.database_url.get_secret_value(),
        autocommit=True,
        connect_timeout=settings.database_connect_timeout_s,
        client_encoding=ENCODING,
        application_name="wattline-consumer",
        keepalives_idle=_KEEPALIVES["keepalives_idle"],
        keepalives_interval=_KEEPALIVES["keepalives_interval"],
        keepalives_count=_KEEPALIVES["keepalives_count"],
        tcp_user_timeout=_USER_TIMEOUT_MS,
    )
    connection.adapters.register_dumper(np.ndarray, ArrayDumper)
    set_json_dumps(write_json, connection)
    session = {
        "statement_timeout": f"{settings.database_statement_timeout_s}s",
        "lock_timeout": f"{settings.database_lock_timeout_s}s",
        # Ours never idle in a transaction: who does was suspended, and holds locks meanwhile.
        "idle_in_transaction_session_timeout": f"{settings.database_lock_timeout_s}s",
        # The server, too, is to notice a peer that is gone.
        "tcp_user_timeout": f"{_USER_TIMEOUT_MS}ms",
        **{f"tcp_{name}": str(value) for name, value in _KEEPALIVES.items()},
    }
    try:
        await connection.execute(*pinned(**session))
    except BaseException:  # a cancelled one would stay open too
        await connection.close()
        raise
    return connection


class Database:
    """The way to PostgreSQL: connections, patience, and one log line per change of state."""

    def __init__(self, *, settings: DatabaseSettings, metrics: Metrics) -> None:
        self._settings = settings
        self._metrics = metrics
        self._breaker = Breaker(
            longest_pause=settings.database_retry_max_s,
            is_failure=is_outage,
            on_change=self._note_state,
        )
        self._available: bool | None = None
        self.last_answer = float("-inf")

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """Lend a connection of its own, closed at the end."""
        connection = await connect(self._settings)
        try:
            yield connection
        finally:
            await connection.close()

    async def open(self) -> Connection:
        """Return a connection that the caller keeps and closes."""
        return await connect(self._settings)

    @property
    def failures(self) -> int:
        """How often the server was found to be away."""
        return self._breaker.failures

    @property
    def is_available(self) -> bool:
        return self._available is True

    async def patiently(
        self,
        attempt: Callable[[], Awaitable[Result]],
        *,
        retry: Callable[[BaseException], bool] = is_worth_waiting,
        on_retry: Callable[[str], None] | None = None,
    ) -> Result:
        """Return what the attempt returns, tried until the surroundings let it.

        What `retry` does not speak for, as errors of the data, is raised at once.
        """
        failures = 0
        while True:
            try:
                async with self._breaker.attempt():
                    result = await attempt()
                break
            except Exception as error:
                if not retry(error):
                    raise
                failures += 1
                if on_retry is not None:
                    on_retry(cause_of(error))
                if is_conflict(error):  # outages wait at the breaker
                    await asyncio.sleep(
                        pause(failures, longest=self._settings.database_retry_max_s)
                    )
        self.last_answer = asyncio.get_running_loop().time()
        return result

    def _note_state(self, state: State, error: BaseException | None) -> None:
        self._metrics.show_circuit(state)
        if state is State.CLOSED:
            self._metrics.database_available.set(1)
            log.info("database_available", circuit=state)
            self._available = True
        elif error is not None and self._available is not False:  # a further failure is no news
            self._metrics.database_available.set(0)
            text = " ".join(str(error).split())
            log.warning("database_unavailable", circuit=state, cause=cause_of(error), error=text)
            self._available = False


class KeptConnection:
    """A connection kept from one attempt to the next.

    It is opened anew after an outage, whoever met it: it has broken meanwhile, which would be taken
    for the next outage, or another server is the one to write to.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._connection: Connection | None = None
        self._failures = 0

    async def get(self) -> Connection:
        """Return the connection, opened where it is not; raises psycopg.OperationalError."""
        failures = self._database.failures
        if self._failures != failures:
            await self.aclose()
        if self._connection is None:
            self._connection = await self._database.open()
            self._failures = failures
        return self._connection

    async def aclose(self) -> None:
        """Close it; who asks next gets another."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()
