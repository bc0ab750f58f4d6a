"""Readiness: whether the servers behind this one answer, looked at in the background.

A request is told what the last look found, so that asking costs nothing and does not wait.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Literal

import psycopg

from api.ingest.gateway import Unacknowledged
from runtime.postgres.schema_version import UnfitSchema
from runtime.tasks import cancel

Purpose = Literal["ingest", "answers"]
Look = Callable[[], Awaitable[None]]

# The server that each purpose needs. Readings go to Kafka alone.
NEEDED: Mapping[Purpose, str] = {"ingest": "kafka", "answers": "database"}

_EVERY_S = 1.0
# A result that is older than this counts for nothing: the look hangs, or the loop is too busy.
_STALE_S = 6.0


@dataclass(slots=True)
class _Seen:
    """What a look found, and when."""

    holds: bool
    at: float
    waits_for: str | None = None


class Readiness:
    """Looks at each server once a second, and remembers what it found.

    A look returns if the server answers, and raises psycopg.Error or Unacknowledged if not.
    """

    def __init__(self, looks: Mapping[str, Look]) -> None:
        self._looks = looks
        self._seen: dict[str, _Seen] = {}
        self._first = {name: asyncio.Event() for name in looks}

    @asynccontextmanager
    async def looking(self) -> AsyncIterator["Readiness"]:
        """Look at each server in a task of its own: a silent one does not hold up the others."""
        tasks = [asyncio.create_task(self._look(name), name=name) for name in self._looks]
        try:
            yield self
        finally:
            await cancel(tasks)

    async def checks(self, purpose: Purpose | None = None) -> dict[str, bool]:
        """Return for each server whether it answers: those that the purpose needs, or all.

        Waits only for the first look, so that a start is not taken for an outage.
        """
        names = [NEEDED[purpose]] if purpose else list(self._looks)
        return {name: await self._holds(name) for name in names}

    @property
    def waits_for(self) -> str | None:
        """What an operator has to do before all looks can hold, one line; None if nothing."""
        return next((seen.waits_for for seen in self._seen.values() if seen.waits_for), None)

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
            holds, waits_for = False, None
            try:
                await self._looks[name]()
            except UnfitSchema as error:
                waits_for = str(error)
            except (psycopg.Error, Unacknowledged):
                pass
            else:
                holds = True
            self._seen[name] = _Seen(holds, asyncio.get_running_loop().time(), waits_for)
            self._first[name].set()
            await asyncio.sleep(_EVERY_S)
