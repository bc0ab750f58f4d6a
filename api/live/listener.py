"""One client of the live stream, and the queue of its events."""

import asyncio
from dataclasses import dataclass, field

from api.live.event import Event

MOST_WAITING = 20_000
"""Most events that wait for one listener: one look at a large fleet brings thousands."""


class TooSlow(Exception):  # noqa: N818  what the listener was
    """The listener left too many events waiting."""


class Ended(Exception):  # noqa: N818  what the stream has
    """This process is about to end."""


@dataclass(eq=False)
class Listener:
    """One client: which devices it asked for, and the events that wait for it."""

    meters: frozenset[str]
    vehicles: frozenset[str]
    caller: str = ""
    most_waiting: int = MOST_WAITING
    waiting: asyncio.Queue[Event | None] = field(default_factory=asyncio.Queue)
    is_dropped: bool = False

    @property
    def wants_all(self) -> bool:
        """Return whether it named no device, and so receives the events of all."""
        return not self.meters and not self.vehicles

    def wants(self, event: Event) -> bool:
        """Return whether the event is about a device that it asked for."""
        if self.wants_all:
            return True
        return event.device_id in (self.meters if event.kind == "meter" else self.vehicles)

    def offer(self, event: Event) -> bool:
        """Queue the event and return True; if the queue is full, drop the listener."""
        if self.waiting.qsize() >= self.most_waiting:
            self.is_dropped = True
        else:
            self.waiting.put_nowait(event)
        return not self.is_dropped

    def end(self) -> None:
        """Wake it up for the last time."""
        self.waiting.put_nowait(None)

    async def next(self, seconds: float) -> Event | None:
        """Return the next event, or None if none comes in time; raises TooSlow and Ended."""
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
