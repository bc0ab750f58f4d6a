"""Cache for an expensive value: one refresh at a time, the stale value served meanwhile."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Generic, NamedTuple, TypeVar

from api.problems import Problem

T = TypeVar("T")

_RETRY_AFTER_S = 2.0
# A value that takes long is computed less often, so that it does not keep the database busy. It is
# kept for five times as long as it took; a failed one is tried again after twice as long.
_KEPT_TIMES, _RETRIED_TIMES = 5, 2


class Known(NamedTuple, Generic[T]):
    """The newest value, None before the first, and the error if renewing it failed."""

    value: T | None
    fault: Problem | None


class Remembered(Generic[T]):
    """Computes the value when it is asked for and the known one is older than `keep_s`."""

    def __init__(self, compute: Callable[[], Awaitable[T]], *, keep_s: float) -> None:
        self._compute = compute
        self._keep_s = keep_s
        self._known: Known[T] = Known(None, None)
        self._good_until = 0.0
        self._task: asyncio.Task[None] | None = None

    async def get(self, *, wait_s: float) -> Known[T]:
        """Return what is known, after waiting for up to `wait_s` if a newer value is due.

        A computation outlives the request that started it; the next request may find it done.
        """
        if self._task is None and time.monotonic() >= self._good_until:
            self._task = asyncio.create_task(self._renew())
        if self._task is not None:
            done, _ = await asyncio.wait({self._task}, timeout=wait_s)
            for task in done:
                task.result()  # raises any error but a Problem
        return self._known

    async def close(self) -> None:
        """Give up what is being computed."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})

    async def _renew(self) -> None:
        begun = time.monotonic()
        try:
            self._known = Known(await self._compute(), None)
            took = time.monotonic() - begun
            self._good_until = begun + took + max(self._keep_s, _KEPT_TIMES * took)
        except Problem as problem:
            self._known = Known(self._known.value, problem)
            took = time.monotonic() - begun
            self._good_until = begun + took + max(_RETRY_AFTER_S, _RETRIED_TIMES * took)
        finally:
            self._task = None
