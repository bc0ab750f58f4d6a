"""A client that leaves takes its question with it.

The statement that PostgreSQL was about to answer is cancelled there, and its connection is free for
others. Only of what is asked: a write runs to its end, for cut off at its commit it would be known
to nobody whether it was done. It is short, and waits for others no longer than its bounds say.
"""

import asyncio

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_ASKS = {"GET", "HEAD"}


class Departure:
    """Cancels what is done for a client that has gone; raises ClientDisconnect before an answer.

    No path takes the body of a question: what is sent is read and left, so that its end is seen.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] not in _ASKS:
            await self._app(scope, receive, send)
            return
        asker = asyncio.current_task()
        assert asker is not None  # noqa: S101  a coroutine runs in one
        has_left = is_begun = False

        async def watch() -> None:
            nonlocal has_left
            while (await receive())["type"] != "http.disconnect":
                pass
            # Once only: a second time would break off psycopg, which asks the server to cancel.
            has_left = True
            asker.cancel()

        async def begun(message: Message) -> None:
            nonlocal is_begun
            is_begun = True
            await send(message)

        # From this version of ASGI on the framework does not look out for the client by itself,
        # with a group of tasks that it would cancel again and again.
        scope["asgi"] = scope["asgi"] | {"spec_version": "2.4"}
        watcher = asyncio.create_task(watch())
        try:
            await self._app(scope, _without_body(), begun)
        except asyncio.CancelledError:
            if not has_left or asker.cancelling() > 1:
                raise
            # One that listens for ever leaves some time, and has had its answer.
            if not is_begun:
                raise ClientDisconnect from None
        finally:
            watcher.cancel()
            if has_left:
                asker.uncancel()


def _without_body() -> Receive:
    is_read = False

    async def receive() -> Message:
        nonlocal is_read
        if is_read:
            await asyncio.Event().wait()  # the departure is not theirs to see
        is_read = True
        return {"type": "http.request", "body": b"", "more_body": False}

    return receive
