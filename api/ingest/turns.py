"""Turns for heavy work: one request at a time, because threads share one interpreter."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.requests import ClientDisconnect, Request


class Turns:
    """Gives the turn to one request at a time, in the order of their arrival."""

    def __init__(self) -> None:
        self.lock = asyncio.Lock()

    @asynccontextmanager
    async def turn(self, request: Request) -> AsyncIterator[None]:
        """Wait for the turn; raises ClientDisconnect if the client leaves before it comes.

        The request's body has been read already.
        """
        turn = asyncio.ensure_future(self.lock.acquire())
        gone = asyncio.ensure_future(_gone(request))
        try:
            await asyncio.wait({turn, gone}, return_when=asyncio.FIRST_COMPLETED)
            if not turn.done():
                raise ClientDisconnect
            yield
        finally:
            gone.cancel()
            if turn.done():
                self.lock.release()
            else:
                turn.cancel()


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
