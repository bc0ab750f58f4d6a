"""The live stream: one query a second for all listeners together.

`updated_at` is when a flush began, and flushes do not commit in that order. So each look goes back
a little, and leaves out what it has seen already. A listener that does not keep up is told so and
dropped; with `Last-Event-ID` it finds its place again.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Container, Iterable
from contextlib import asynccontextmanager, suppress
from datetime import datetime, timedelta

import psycopg
import structlog
from psycopg.rows import DictRow

from api.live.event import Event, event_of
from api.live.listener import Listener, TooSlow
from api.metrics import Metrics
from api.postgres.database import Database
from api.problems import Problem
from api.queries.changes import Place, changed_states, database_time, missed_states
from api.settings import LiveSettings
from api.shares import NoneLeft, Shares, ShareTaken
from telemetry.timestamps import as_datetime

log = structlog.get_logger()

LOOK_S = 1.0
BEGIN_S = 3.0
"""Longest wait of a new listener for the first look; PostgreSQL may be away."""
OVERLAP = timedelta(seconds=30)
FURTHEST_BACK = timedelta(minutes=15)
"""Older events are not sent again: clients can ask for the current states instead."""
PAGE = 1_000
"""Missed events that are read at a time; the next page is read once these are sent."""


class Live:
    """Looks for new states while there are listeners, and hands them to each of them."""

    def __init__(self, *, database: Database, metrics: Metrics, settings: LiveSettings) -> None:
        self._database = database.own("live")
        self._metrics = metrics
        self._seats = Shares(most=settings.live_listeners, most_each=settings.live_client_listeners)
        metrics.listeners.set_function(lambda: self._seats.taken)
        self._listeners: set[Listener] = set()
        self._wanted = asyncio.Event()
        self._begun = asyncio.Event()
        self._has_ended = False
        self._seen: dict[tuple[str, str], datetime] = {}
        self._looked_at: datetime | None = None

    @asynccontextmanager
    async def listening(self, listener: Listener) -> AsyncIterator[Listener]:
        """Give it every event from now on; raises Problem (429, 503) if all seats are taken."""
        self._seat(listener.caller)
        if self._has_ended:
            listener.end()
        self._listeners.add(listener)
        self._wanted.set()
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(BEGIN_S):
                    await self._begun.wait()
            yield listener
        finally:
            self._listeners.discard(listener)
            self._seats.free(listener.caller)

    def end(self) -> None:
        """End every listener: their answers have no end of their own."""
        self._has_ended = True
        self._begun.set()
        for listener in self._listeners:
            listener.end()

    def end_those_of(self, callers: Container[str]) -> None:
        """End the listeners of these callers."""
        for listener in self._listeners:
            if listener.caller in callers:
                listener.end()

    @property
    def is_looking(self) -> bool:
        """Return whether the database is asked: only while there are listeners."""
        return self._wanted.is_set()

    def check_room(self, caller: str) -> None:
        """Raise Problem if the caller has too many listeners (429), or all together (503)."""
        self._seat(caller)
        self._seats.free(caller)

    async def missed(
        self, event_id: int, listener: Listener, database: Database
    ) -> AsyncGenerator[Event, None]:
        """Yield the events for a listener that were stored since an event, or just before it.

        Events older than `FURTHEST_BACK` are left out. Raises Problem (503), and TooSlow if too
        many new events wait meanwhile.
        """
        try:
            at = as_datetime(event_id) - OVERLAP
        except OverflowError:
            return
        last: Place | None = Place(at)
        while last is not None:
            async with database.read() as connection:
                rows = await missed_states(
                    connection,
                    last,
                    meters=list(listener.meters),
                    vehicles=list(listener.vehicles),
                    furthest_back=FURTHEST_BACK,
                    limit=PAGE,
                )
            last = None
            if len(rows) == PAGE:
                last = Place(rows[-1]["updated_at"], rows[-1]["kind"], rows[-1]["device_id"])
            for row in rows:
                yield event_of(row)
            if listener.is_dropped:
                raise TooSlow

    async def run(self) -> None:
        """Look once a second while there are listeners; never returns."""
        while True:
            if not self._listeners:
                self._wanted.clear()
                self._begun.clear()
                self._looked_at = None
                self._seen.clear()
                await self._wanted.wait()
            # During an outage the listeners hear nothing; after it they hear what they missed.
            with suppress(Problem):
                try:
                    self._deliver(await self._look())
                    self._begun.set()
                except psycopg.Error as error:  # for example, the schema is not applied yet
                    log.warning("live_look_failed", error=str(error))
            await asyncio.sleep(LOOK_S)

    async def _look(self) -> Iterable[Event]:
        begun = None
        async with self._database.read() as connection:
            if self._looked_at is None:
                begun = self._looked_at = await database_time(connection)
            rows = await changed_states(connection, self._looked_at - OVERLAP)
        fresh = [row for row in rows if self._is_news(row)]
        if rows:
            self._looked_at = max(self._looked_at, rows[-1]["updated_at"])
        # The first look only learns what is stored already. Later looks report every state that
        # they have not seen, however early its flush began: it was committed only now.
        return [event_of(row) for row in fresh if begun is None or row["updated_at"] >= begun]

    def _is_news(self, row: DictRow) -> bool:
        key = (row["kind"], row["device_id"])
        is_news: bool = self._seen.get(key) != row["recorded_at"]
        self._seen[key] = row["recorded_at"]
        return is_news

    def _deliver(self, events: Iterable[Event]) -> None:
        for event in events:
            for listener in self._listeners:
                if listener.is_dropped or not listener.wants(event):
                    continue
                if not listener.offer(event):
                    self._metrics.dropped_listeners.inc()
                    log.info("live_listener_dropped", events_waiting=listener.most_waiting)

    def _seat(self, caller: str) -> None:
        """Take a seat, or raise as `check_room` does."""
        try:
            self._seats.take(caller)
        except ShareTaken as error:
            raise self._full(429, "this client has as many listeners as it may have") from error
        except NoneLeft as error:
            raise self._full(503, "there are too many listeners already") from error

    def _full(self, status: int, detail: str) -> Problem:
        self._metrics.refused.labels("live_listeners").inc()
        return Problem(status, detail, headers={"Retry-After": "10"})
