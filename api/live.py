"""New current states, as they come: one query a second for all listeners together.

`updated_at` is when a flush began, and flushes do not commit in that order; so each look goes back
a little, and what was seen already is left out. A listener that does not keep up is dropped with a
word, and finds its place again with `Last-Event-ID`.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import NamedTuple

import psycopg
import structlog
from psycopg.rows import DictRow

from api.database import Database
from api.metrics import Metrics
from api.models.readings import MeterState, VehicleState
from api.problems import Problem
from api.queries.changes import Place, changed_states, database_time, missed_states
from api.settings import LiveSettings
from api.sharing.shares import NoneLeft, Shares, ShareTaken
from telemetry.timestamps import EPOCH, MICROSECOND, as_datetime

log = structlog.get_logger()

LOOK_S = 1.0
BEGIN_S = 3.0
"""How long a listener waits for the first look; PostgreSQL may be away."""
OVERLAP = timedelta(seconds=30)
FURTHEST_BACK = timedelta(minutes=15)
"""What was stored before is not sent again: the current states are there to be asked for."""
PAGE = 1_000
"""So many missed events are read at a time, and the next ones once these are sent."""
MOST_WAITING = 20_000
"""Events that may wait for a listener: a look at a large fleet brings thousands."""


class Event(NamedTuple):
    """A new current state; `id` is when it was stored, in microseconds since 1970."""

    id: int
    kind: str
    device_id: str
    state: MeterState | VehicleState


class TooSlow(Exception):  # noqa: N818  what the listener was
    """The listener left too many events waiting."""


class Ended(Exception):  # noqa: N818  what the stream has
    """This process is about to end."""


@dataclass(eq=False)
class Listener:
    """One client: what it wants to hear of, and what waits for it."""

    meters: frozenset[str]
    vehicles: frozenset[str]
    caller: str = ""
    most_waiting: int = MOST_WAITING
    waiting: asyncio.Queue[Event | None] = field(default_factory=asyncio.Queue)
    is_dropped: bool = False

    def wants(self, event: Event) -> bool:
        """Without any name it wants all."""
        if not self.meters and not self.vehicles:
            return True
        return event.device_id in (self.meters if event.kind == "meter" else self.vehicles)

    def offer(self, event: Event) -> bool:
        """Take the event, if there is room; who has none is dropped."""
        if self.waiting.qsize() >= self.most_waiting:
            self.is_dropped = True
        else:
            self.waiting.put_nowait(event)
        return not self.is_dropped

    def end(self) -> None:
        """Wake it up for the last time."""
        self.waiting.put_nowait(None)

    async def next(self, seconds: float) -> Event | None:
        """Return the next event, None after so long without one; raises TooSlow and Ended."""
        if self.is_dropped:
            raise TooSlow
        try:
            async with asyncio.timeout(seconds):
                event = await self.waiting.get()
        except TimeoutError:
            return None
        if event is None:
            raise Ended
        return event


class Live:
    """Looks for new states while anybody listens, and hands them round."""

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
        """Hand it what is new from now on; raises Problem (429, 503) where there is no seat."""
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
        """Let no listener hold up the end of this process."""
        self._has_ended = True
        self._begun.set()
        for listener in self._listeners:
            listener.end()

    @property
    def is_looking(self) -> bool:
        """Whether the database is asked at all."""
        return self._wanted.is_set()

    def check_room(self, caller: str) -> None:
        """Raise Problem where the caller has too many listeners (429), or all have (503)."""
        self._seat(caller)
        self._seats.free(caller)

    def _seat(self, caller: str) -> None:
        """Take a seat, or raise what `check_room` does."""
        try:
            self._seats.take(caller)
        except ShareTaken as error:
            raise self._full(429, "this client listens as often as it may") from error
        except NoneLeft as error:
            raise self._full(503, "too many listen already") from error

    def _full(self, status: int, detail: str) -> Problem:
        self._metrics.refused.labels("live_listeners").inc()
        return Problem(status, detail, headers={"Retry-After": "10"})

    async def missed(
        self, event_id: int, listener: Listener, database: Database
    ) -> AsyncGenerator[Event, None]:
        """Yield what the listener wants of what was stored since an event, or just before it.

        What is older than `FURTHEST_BACK` is left out. Raises Problem (503), and TooSlow where
        too many new events wait meanwhile.
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
                yield _event(row)
            if listener.is_dropped:
                raise TooSlow

    async def run(self) -> None:
        """Look once a second while there are listeners, for ever."""
        while True:
            if not self._listeners:
                self._wanted.clear()
                self._begun.clear()
                self._looked_at = None
                self._seen.clear()
                await self._wanted.wait()
            # An outage: the listeners hear nothing meanwhile, and everything after it.
            with suppress(Problem):
                try:
                    self._hand_round(await self._look())
                    self._begun.set()
                except psycopg.Error as error:  # no such table yet, say
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
        # At the first look it is only learnt what is there already. Later ones take what they have
        # not seen, however early its flush began: it has only now been committed.
        return [_event(row) for row in fresh if begun is None or row["updated_at"] >= begun]

    def _is_news(self, row: DictRow) -> bool:
        key = (row["kind"], row["device_id"])
        is_news: bool = self._seen.get(key) != row["recorded_at"]
        self._seen[key] = row["recorded_at"]
        return is_news

    def _hand_round(self, events: Iterable[Event]) -> None:
        for event in events:
            for listener in self._listeners:
                if listener.is_dropped or not listener.wants(event):
                    continue
                if not listener.offer(event):
                    self._metrics.dropped_listeners.inc()
                    log.info("live_listener_dropped", events_waiting=listener.most_waiting)


def _event(row: DictRow) -> Event:
    state: MeterState | VehicleState
    if row["kind"] == "meter":
        state = MeterState(
            meter_id=row["device_id"],
            kwh_consumed_ac=row["kwh"],
            voltage=row["voltage"],
            timestamp=row["recorded_at"],
            updated_at=row["updated_at"],
        )
    else:
        state = VehicleState(
            vehicle_id=row["device_id"],
            soc=row["soc"],
            kwh_delivered_dc=row["kwh"],
            battery_temp=row["battery_temp"],
            timestamp=row["recorded_at"],
            updated_at=row["updated_at"],
        )
    stored_at = (row["updated_at"] - EPOCH) // MICROSECOND
    return Event(stored_at, row["kind"], row["device_id"], state)
