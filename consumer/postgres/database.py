"""PostgreSQL as a replica uses it: connections, whether it is there, attempts that are repeated."""

import asyncio
import gc
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from enum import StrEnum
from typing import TypeVar

import structlog
from prometheus_client import Gauge
from psycopg.conninfo import conninfo_to_dict

from consumer.backoff import pause
from consumer.breaker import Breaker, State
from consumer.metrics import Metrics
from consumer.postgres.connection import Connection, connect
from consumer.postgres.failures import cause_of, is_outage, is_refusal, is_worth_waiting
from consumer.postgres.refusals import CHECK, Refusals, Work
from consumer.settings import DatabaseSettings

log = structlog.get_logger()

# The first refusal in a row is not reported. A statement that was prepared before the schema
# changed, or that the server has forgotten, is refused once, and the next try has a new connection.
REPORTED_FROM = 2
_UPKEEP_PAUSE_S = 60.0

Result = TypeVar("Result")


class Purpose(StrEnum):
    """What a Database is for; each purpose has its own breaker, and never waits for the other."""

    STORING = "database"
    UPKEEP = "upkeep"


class Database:
    """Lends connections, and repeats what fails for as long as the surroundings are at fault.

    `refusals` is given if databases of several purposes report them together.
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
        """Open a connection, and close it at the end of the block; raises psycopg.Error."""
        connection = await connect(self._settings)
        try:
            yield connection
        finally:
            await connection.close()

    async def open(self) -> Connection:
        """Return a connection that the caller closes; raises psycopg.Error."""
        return await connect(self._settings)

    @property
    def failures(self) -> int:
        """How often the server was found to be away."""
        return self._breaker.failures

    @property
    def generation(self) -> int:
        """A number that rises whenever kept connections have to be opened again."""
        return self.failures + self._renewals

    def renew(self) -> None:
        """Let all kept connections be opened again: what they have prepared may be out of date."""
        self._renewals += 1

    @property
    def is_available(self) -> bool:
        return self._available is True

    @property
    def longest_pause(self) -> float:
        """The longest pause between two tries, in seconds; the upkeep can wait longer."""
        if self._purpose is Purpose.UPKEEP:
            return max(_UPKEEP_PAUSE_S, self._settings.database_retry_max_s)
        return self._settings.database_retry_max_s

    async def regularly(
        self, attempt: Callable[[], Awaitable[None]], *, work: Work, every_s: float
    ) -> None:
        """Make the attempt patiently, then again `every_s` seconds after each success, for ever."""
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
        """Return what the attempt returns, repeated until it succeeds.

        After an outage it waits at the breaker, with all others. After a conflict or a refusal it
        waits alone. An error for which `retry` is false is raised at once. `on_retry` is told the
        cause of each failure.
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
                        if refusals >= REPORTED_FROM:
                            self.refusals.note(waiting, work, error)
                    if not is_outage(error):
                        await asyncio.sleep(pause(failures, longest=self.longest_pause))
                # psycopg's error and its frames refer to each other, and to libpq's connection with
                # its buffers. During an outage so few objects are made that the collector would
                # not run by itself for many minutes.
                gc.collect(1)
            self.refusals.end(waiting)
        finally:
            self.refusals.forget(waiting)
        if self._breaker.state is State.CLOSED:  # else the success is older than an outage
            self._note_available()
        self.last_answer = asyncio.get_running_loop().time()
        return result

    def _note_state(self, state: State, error: BaseException | None) -> None:
        if self._purpose is Purpose.STORING:
            self._metrics.show_circuit(state)
        if error is not None and self._available is not False:  # a further failure is not news
            self._available = False
            self._gauge.set(0)
            log.warning(
                f"{self._purpose}_unavailable",
                circuit=state,
                cause=cause_of(error),
                error=" ".join(str(error).split()),
            )

    def _note_available(self) -> None:
        """Note that work was done, which says more than that the server answers."""
        if self._available is not True:
            self._available = True
            self._gauge.set(1)
            log.info(f"{self._purpose}_available", circuit=self._breaker.state)

    @property
    def _gauge(self) -> Gauge:
        if self._purpose is Purpose.UPKEEP:
            return self._metrics.upkeep_available
        return self._metrics.database_available
