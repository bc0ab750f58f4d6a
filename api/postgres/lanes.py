"""Lanes to the connections of the pool: long work never takes the last of them.

Before the pool there is a lane for each kind of work, with a share of the pool's connections. The
shares add up to the pool, so a full lane does not hold up the other lanes. Within a lane the
callers take turns, and each has a bound of its own.
"""

import asyncio
from collections import Counter, OrderedDict, deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

from api.settings import PoolSettings

LOOKUP, QUESTION, OWN, WRITE, LOCKED = "lookup", "question", "own", "write", "locked"
# What the connections of a lane are used for, as the end of "the database is busy …".
_AT = {
    LOOKUP: "looking up devices",
    QUESTION: "answering questions",
    OWN: "with queries of its own",
    WRITE: "writing devices",
    LOCKED: "writing assignments and sessions",
}
# From this pool size on, this process has two connections for its own queries: one of them is slow.
_TWO_OWN = 8

_Turn = asyncio.Future[None]


class Busy(Exception):  # noqa: N818  what the lane is
    """The lane is full, and the wait was too long or too many wait already."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """A lane's bounds: places for all callers and for one; how many may wait, and how long."""

    most: int
    most_of_one: int
    most_waiting: int
    wait_s: float


def lane_sizes(connections: int) -> dict[str, int]:
    """Return how many of a pool's connections each lane may have.

    They add up to all of them. If there are fewer than five, each lane counts one, and they share.
    """
    own = 2 if connections >= _TWO_OWN else 1
    write = max(1, connections // 8)
    locked = max(1, connections // 6)
    question = max(1, connections // 3)
    lookup = max(1, connections - own - write - locked - question)
    return {LOOKUP: lookup, QUESTION: question, OWN: own, WRITE: write, LOCKED: locked}


def make_lanes(settings: PoolSettings) -> dict[str, "Lane"]:
    """Return the lanes by their names."""
    return {name: Lane(name, at=_AT[name], bounds=_bounds(name, settings)) for name in _AT}


def _bounds(name: str, settings: PoolSettings) -> Bounds:
    most = lane_sizes(settings.database_pool_size)[name]
    most_of_one = {OWN: 1, QUESTION: settings.database_questions_of_one}.get(name, most)
    # A little longer than the pool waits for PostgreSQL, so that the lane hears of an outage.
    wait_s = 1.1 * settings.database_pool_timeout_s
    if name == QUESTION:
        wait_s = max(wait_s, settings.database_question_wait_s)
    if name == OWN:  # no client waits for the answer
        wait_s += settings.database_statement_timeout_s
    return Bounds(
        most=most,
        most_of_one=most_of_one,
        most_waiting=settings.database_most_waiting,
        wait_s=wait_s,
    )


class Lane:
    """A number of places, for which callers take turns; `at` says what they do there."""

    def __init__(self, name: str, *, at: str, bounds: Bounds) -> None:
        self.name = name
        self.at = at
        self._bounds = bounds
        self._held: Counter[str] = Counter()
        # A queue for each caller that waits, never empty; the next caller comes first.
        self._waiting: OrderedDict[str, deque[_Turn]] = OrderedDict()

    @property
    def busy(self) -> int:
        """How many places are taken."""
        return self._held.total()

    @property
    def waiting(self) -> int:
        """How many wait for a place."""
        return sum(map(len, self._waiting.values()))

    @asynccontextmanager
    async def place(self, caller: str) -> AsyncIterator[None]:
        """Lend a place; raises Busy, or the exception that `give_up` makes."""
        if self._has_room(caller):
            self._held[caller] += 1
        else:
            await self._wait(caller)
        try:
            yield
        finally:
            self._leave(caller)

    def give_up(self, make: Callable[[], Exception]) -> None:
        """Fail all waits, each with an exception of its own."""
        for queue in self._waiting.values():
            for turn in queue:
                _refuse(turn, make())

    def _has_room(self, caller: str) -> bool:
        return self.busy < self._bounds.most and self._held[caller] < self._bounds.most_of_one

    async def _wait(self, caller: str) -> None:
        if self.waiting >= self._bounds.most_waiting:
            self._make_room(caller)
        loop = asyncio.get_running_loop()
        turn: _Turn = loop.create_future()
        self._waiting.setdefault(caller, deque()).append(turn)
        late = Busy("no connection was free in time")
        timer = loop.call_later(self._bounds.wait_s, _refuse, turn, late)
        try:
            await turn
        except BaseException:  # also cancelled
            # The caller may leave at the very moment when its turn comes.
            if turn.done() and not turn.cancelled() and turn.exception() is None:
                self._leave(caller)
            raise
        finally:
            timer.cancel()
            self._forget(caller, turn)

    def _make_room(self, caller: str) -> None:
        """Send away the newest wait of the caller with the most of them; raises Busy."""
        most = max(self._waiting, key=lambda one: len(self._waiting[one]), default=caller)
        if len(self._waiting.get(most, ())) <= len(self._waiting.get(caller, ())) + 1:
            raise Busy("too many requests wait for a connection already")
        turn = self._waiting[most][-1]
        _refuse(turn, Busy("this client has the most requests waiting"))
        self._forget(most, turn)

    def _leave(self, caller: str) -> None:
        self._held[caller] -= 1
        if not self._held[caller]:
            del self._held[caller]
        while (following := next(filter(self._has_room, self._waiting), None)) is not None:
            turn = self._waiting[following][0]
            self._forget(following, turn)
            if not turn.done():
                self._held[following] += 1
                turn.set_result(None)
            if following in self._waiting:
                self._waiting.move_to_end(following)

    def _forget(self, caller: str, turn: _Turn) -> None:
        queue = self._waiting.get(caller)
        if queue is None:
            return
        with suppress(ValueError):
            queue.remove(turn)
        if not queue:
            del self._waiting[caller]


def _refuse(turn: _Turn, error: Exception) -> None:
    if not turn.done():
        turn.set_exception(error)
