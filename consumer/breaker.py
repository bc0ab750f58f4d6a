"""A circuit breaker: while a server is away, one attempt at a time finds out whether it is back.

Without it, every flush, look and check would hammer on a server that is restarting, each in its
own rhythm. The breaker is closed while the server answers. A failure opens it: attempts queue, and
the first in the queue pauses (longer with every failure, capped, with jitter) and then tries. This
is the half-open state. Its success closes the breaker for all.
The pattern is M. Nygard's, "Release It!", 2nd edition, chapter 5.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from enum import StrEnum

from consumer.backoff import pause


class State(StrEnum):
    """Which attempts are let through: all, one at a time, or none."""

    CLOSED = "closed"
    HALF_OPEN = "half_open"
    OPEN = "open"


class Breaker:
    """Guards one server; `on_change` is called with each new state and the error, if any."""

    def __init__(
        self,
        *,
        longest_pause: float,
        is_failure: Callable[[BaseException], bool],
        on_change: Callable[[State, BaseException | None], None],
    ) -> None:
        self._longest_pause = longest_pause
        self._is_failure = is_failure
        self._on_change = on_change
        self._queue = asyncio.Lock()
        self._waiting = 0
        self._in_a_row = 0
        self.failures = 0
        """The failures so far, without those of attempts that began before the last failure."""
        self.state: State | None = None
        """None until the first answer."""

    @asynccontextmanager
    async def attempt(self, *, is_probe: bool = False) -> AsyncIterator[None]:
        """Wait for permission to try, then learn from how the block ends.

        A probe asks for so little that its success proves nothing while attempts wait that have
        met a failure.
        """
        is_trial = await self._queue_up()
        failures = self.failures
        try:
            yield
        except BaseException as error:
            self._learn(error, is_trial=is_trial, failures=failures)
            raise
        else:
            proves_nothing = is_probe and self._waiting
            if not proves_nothing:
                self._learn(None, is_trial=is_trial, failures=failures)
            elif is_trial:
                self._change(State.OPEN, None)
        finally:
            if is_trial:
                self._queue.release()

    async def _queue_up(self) -> bool:
        if self._lets_through():
            return False
        self._waiting += 1
        try:
            await self._queue.acquire()
        finally:
            self._waiting -= 1
        try:
            if self._lets_through():  # the attempt before succeeded
                self._queue.release()
                return False
            await asyncio.sleep(pause(self._in_a_row, longest=self._longest_pause))
        except BaseException:  # cancelled: the next in the queue has its turn
            self._queue.release()
            raise
        self._change(State.HALF_OPEN, None)
        return True

    def _lets_through(self) -> bool:
        return self.state in {None, State.CLOSED}

    def _learn(self, error: BaseException | None, *, is_trial: bool, failures: int) -> None:
        if failures != self.failures:
            return  # it began before the last failure: it says nothing about now
        if error is None or (isinstance(error, Exception) and not self._is_failure(error)):
            # It was done, or refused by a server that answers.
            self._in_a_row = 0
            self._change(State.CLOSED, None)
        elif self._is_failure(error):
            self.failures += 1
            self._in_a_row += 1
            self._change(State.OPEN, error)
        elif is_trial:  # cancelled: nothing was learned
            self._change(State.OPEN, None)

    def _change(self, state: State, error: BaseException | None) -> None:
        if state is not self.state:
            self.state = state
            self._on_change(state, error)
