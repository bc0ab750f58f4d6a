"""Connections to PostgreSQL, and the knowledge whether it is there."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

import psycopg
import structlog
from psycopg import AsyncConnection
from psycopg.rows import TupleRow
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception

from consumer.errors import CommitUnknown, RowVanished
from consumer.metrics import Metrics
from consumer.retry import backoff, cause_of, is_data_error
from consumer.settings import DatabaseSettings

log = structlog.get_logger()

Connection = AsyncConnection[TupleRow]
Result = TypeVar("Result")


async def connect(settings: DatabaseSettings) -> Connection:
    """Open a connection with every timeout set; raises psycopg.OperationalError."""
    connection = await AsyncConnection.connect(
        settings.database_url.get_secret_value(),
        autocommit=True,
        connect_timeout=settings.database_connect_timeout_s,
        application_name="wattline-consumer",
        # A peer that is gone without a word is noticed after about 20 s, see tcp(7).
        keepalives_idle=10,
        keepalives_interval=3,
        keepalives_count=3,
        tcp_user_timeout=20_000,
    )
    timeouts = {
        "statement_timeout": settings.database_statement_timeout_s,
        "lock_timeout": settings.database_lock_timeout_s,
        "idle_in_transaction_session_timeout": settings.database_statement_timeout_s,
    }
    try:
        await connection.execute(
            "SELECT set_config(name, value, false)"
            " FROM unnest(%s::text[], %s::text[]) AS setting (name, value)",
            [
                [*timeouts, "timezone", "client_min_messages"],
                [*(f"{seconds}s" for seconds in timeouts.values()), "UTC", "warning"],
            ],
        )
    except BaseException:  # a cancelled one would stay open too
        await connection.close()
        raise
    return connection


class Database:
    """The way to PostgreSQL: connections, patience, and one log line per change of state."""

    def __init__(self, *, settings: DatabaseSettings, metrics: Metrics) -> None:
        self._settings = settings
        self._metrics = metrics
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
    def is_available(self) -> bool:
        return self._available is True

    async def patiently(
        self,
        attempt: Callable[[], Awaitable[Result]],
        *,
        on_retry: Callable[[str], None] | None = None,
    ) -> Result:
        """Return what the attempt returns, tried until the surroundings let it.

        Errors of the data, and whatever is no error of PostgreSQL, are raised at once.
        """

        def note(state: RetryCallState) -> None:
            assert state.outcome is not None  # noqa: S101  set whenever a try has failed
            error = state.outcome.exception()
            assert error is not None  # noqa: S101  likewise
            self._note_failure(error)
            if on_retry is not None:
                on_retry(cause_of(error))

        retrying = AsyncRetrying(
            retry=retry_if_exception(_is_worth_waiting),
            wait=backoff(self._settings.database_retry_max_s),
            before_sleep=note,
            reraise=True,
        )
        async for trial in retrying:
            with trial:
                result = await attempt()
        self.note_answer()
        return result

    def note_answer(self) -> None:
        """Remember that the database has just done what it was asked."""
        self.last_answer = asyncio.get_running_loop().time()
        if self._available is not True:
            self._available = True
            self._metrics.database_available.set(1)
            log.info("database_available")

    def _note_failure(self, error: BaseException) -> None:
        # A conflict with another session says nothing about the server.
        if cause_of(error) in ("serialization", "lock", "missing_partition"):
            return
        if self._available is not False:
            self._available = False
            self._metrics.database_available.set(0)
            log.warning("database_unavailable", cause=cause_of(error), error=_one_line(error))


def _is_worth_waiting(error: BaseException) -> bool:
    if isinstance(error, CommitUnknown | RowVanished | TimeoutError | OSError):
        return True
    return isinstance(error, psycopg.Error) and not is_data_error(error)


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())
