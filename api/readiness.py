"""Whether readings can be taken, and whether answers can be given: looked at in the background.

Whoever asks is told what the last look found, so that asking costs nothing and waits for nothing.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Literal

import psycopg

from api.ingest.producer import Unacknowledged
from runtime.tasks import cancel

Purpose = Literal["ingest", "answers"]
Look = Callable[[], Awaitable[None]]

# What each purpose takes. Readings go to Kafka alone.
NEEDED: Mapping[Purpose, str] = {"ingest": "kafka", "answers": "database"}

_EVERY_S = 1.0
# A look that hangs, or that no time is left for, says nothing any more.
_STALE_S = 6.0


@dataclass(slots=True)
class _Seen:
    """What a look found, and when."""

    holds: bool
    at: float


class Readiness:
    """Looks at each server once a second, and remembers what was found.

    A look returns where the server answers, and raises psycopg.Error or Unacknowledged.
    """

    def __init__(self, looks: Mapping[str, Look]) -> None:
        self._looks = looks
        self._seen: dict[str, _Seen] = {}
        self._first = {name: asyncio.Event() for name in looks}

    @asynccontextmanager
    async def looking(self) -> AsyncIterator["Readiness"]:
        """Look at them, each by itself: one that is silent keeps no other from being seen."""
        tasks = [asyncio.create_task(self._look(name), name=name) for name in self._looks]
        try:
            yield self
        finally:
            await cancel(tasks)

    async def checks(self, purpose: Purpose | None = None) -> dict[str, bool]:
        """Return which servers answer, of those that the purpose needs or of all.

        Only the first look is waited for, so that a start is not taken for an outage.
        """
        names = [NEEDED[purpose]] if purpose else list(self._looks)
        return {name: await self._holds(name) for name in names}

    async def _holds(self, name: str) -> bool:
        loop = asyncio.get_running_loop()
        if name not in self._seen:
            try:
                await asyncio.wait_for(self._first[name].wait(), _STALE_S)
            except TimeoutError:
                return False
        seen = self._seen[name]
        return seen.holds and loop.time() - seen.at < _STALE_S

    async def _look(self, name: str) -> None:
        while True:
            try:
                await self._looks[name]()
            except (psycopg.Error, Unacknowledged):
                holds = False
            else:
                holds = True
            self._seen[name] = _Seen(holds, asyncio.get_running_loop().time())
            self._first[name].set()
            await asyncio.sleep(_EVERY_S)
