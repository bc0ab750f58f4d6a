"""Connections to PostgreSQL, and the knowledge whether it is there."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from enum import StrEnum
from typing import TypeVar

import numpy as np
import structlog
from prometheus_client import Gauge
from psycopg import AsyncConnection
from psycopg.conninfo import conninfo_to_dict
from psycopg.rows import TupleRow
from psycopg.types.json import set_json_dumps

from consumer.backoff import pause
from consumer.breaker import Breaker, State
from consumer.metrics import Metrics
from consumer.postgres.arrays import ArrayDumper
from consumer.postgres.failures import cause_of, is_outage, is_refusal, is_worth_waiting
from consumer.postgres.refusals import CHECK, Refusals, Work
from consumer.settings import DatabaseSettings
from runtime.postgres.session import ENCODING, pinned, write_json
from runtime.postgres.silence import TCP, bounded, tcp_session

log = structlog.get_logger()

# The first refusal in a row is not told: a statement that was prepared before the schema changed,
# or that the server has forgotten, is refused once, and the next try has another connection.
TOLD_FROM = 2
_UPKEEP_PAUSE_S = 60.0

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
        **TCP,
    )
    connection.adapters.register_dumper(np.ndarray, ArrayDumper)
    set_json_dumps(write_json, connection)
    session = {
        "statement_timeout": f"{settings.database_statement_timeout_s}s",
        "lock_timeout": f"{settings.database_lock_timeout_s}s",
        # Ours never idle in a transaction: who does was suspended, and holds locks meanwhile.
        "idle_in_transaction_session_timeout": f"{settings.database_lock_timeout_s}s",
        **tcp_session(),
    }
    try:
        with bounded(connection, settings.database_connect_timeout_s):
            await connection.execute(*pinned(**session))
    except BaseException:  # a cancelled one would stay open too
        await connection.close()
        raise
    return connection


class Purpose(StrEnum):
    """What for: each has a breaker of its own, so that what ails one does not hold the other."""

    STORING = "database"
    UPKEEP = "upkeep"


class Database:
    """The way to PostgreSQL: connections, patience, and one log line per change of state.

    `refusals` is given where several ways share what they tell.
    """

    def __init__(
        self,
        *,
        settings: DatabaseSettings,
        metrics: Metrics,
        purpose: Purpose = Purpose.STORING,
        refusals: Refusals | None = None,
    ) -> None:
        self._settings = settings
        self._metrics = metrics
        self._purpose = purpose
        self._breaker = Breaker(
            longest_pause=settings.database_retry_max_s,
            is_failure=is_outage,
            on_change=self._note_state,
        )
        self._available: bool | None = None
        if refusals is None:
            conninfo = conninfo_to_dict(settings.database_url.get_secret_value())
            role = conninfo.get("user")
            refusals = Refusals(metrics, role=None if role is None else str(role))
        self.refusals = refusals
        self._renewals = 0
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
    def generation(self) -> int:
        """Goes up when connections that are kept are to be opened anew."""
        return self.failures + self._renewals

    def renew(self) -> None:
        """Have connections that are kept opened anew: what they have prepared may be outdated."""
        self._renewals += 1

    @property
    def is_available(self) -> bool:
        return self._available is True

    @property
    def longest_pause(self) -> float:
        """The longest pause in seconds between two tries; nobody waits for the upkeep."""
        if self._purpose is Purpose.UPKEEP:
            return max(_UPKEEP_PAUSE_S, self._settings.database_retry_max_s)
        return self._settings.database_retry_max_s

    async def regularly(
        self, attempt: Callable[[], Awaitable[None]], *, work: Work, every_s: float
    ) -> None:
        """Make the attempt patiently, now and again so long after each time, for ever."""
        while True:
            await self.patiently(attempt, work=work)
            await asyncio.sleep(every_s)

    async def patiently(
        self,
        attempt: Callable[[], Awaitable[Result]],
        *,
        work: Work,
        retry: Callable[[BaseException], bool] = is_worth_waiting,
        on_retry: Callable[[str], None] | None = None,
    ) -> Result:
        """Return what the attempt returns, tried until the surroundings let it.

        Outages wait at the breaker, with everybody else. What meets a conflict or a refusal waits
        alone. What `retry` does not speak for is raised at once.
        """
        waiting = object()
        failures = refusals = 0
        try:
            while True:
                try:
                    async with self._breaker.attempt(is_probe=work is CHECK):
                        result = await attempt()
                    break
                except Exception as error:
                    if not retry(error):
                        raise
                    failures += 1
                    if on_retry is not None:
                        on_retry(cause_of(error))
                    if is_refusal(error):
                        refusals += 1
                        if refusals >= TOLD_FROM:
                            self.refusals.note(waiting, work, error)
                    if not is_outage(error):
                        await asyncio.sleep(pause(failures, longest=self.longest_pause))
            self.refusals.end(waiting)
        finally:
            self.refusals.forget(waiting)
        if self._breaker.state is State.CLOSED:  # else it says nothing of now
            self._note_available()
        self.last_answer = asyncio.get_running_loop().time()
        return result

    def _note_state(self, state: State, error: BaseException | None) -> None:
        if self._purpose is Purpose.STORING:
            self._metrics.show_circuit(state)
        if error is not None and self._available is not False:  # a further failure is no news
            self._available = False
            self._gauge.set(0)
            log.warning(
                f"{self._purpose}_unavailable",
                circuit=state,
                cause=cause_of(error),
                error=" ".join(str(error).split()),
            )

    def _note_available(self) -> None:
        """Some work has been done: that the server answers says little."""
        if self._available is not True:
            self._available = True
            self._gauge.set(1)
            log.info(f"{self._purpose}_available", circuit=self._breaker.state)

    @property
    def _gauge(self) -> Gauge:
        if self._purpose is Purpose.UPKEEP:
            return self._metrics.upkeep_available
        return self._metrics.database_available


class KeptConnection:
    """A connection kept from one attempt to the next.

    It is opened anew after an outage, whoever met it: it has broken meanwhile, which would be taken
    for the next outage, or another server is the one to write to. So it is after a refusal that
    is news.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._connection: Connection | None = None
        self._generation = 0

    async def get(self) -> Connection:
        """Return the connection, opened where it is not; raises psycopg.OperationalError."""
        generation = self._database.generation
        if self._generation != generation:
            await self.aclose()
        if self._connection is None:
            self._connection = await self._database.open()
            self._generation = generation
        return self._connection

    async def aclose(self) -> None:
        """Close it; who asks next gets another."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()
