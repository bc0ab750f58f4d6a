"""Departure of a client: the question that it no longer waits for is cancelled.

PostgreSQL cancels the statement, and the connection is free for others. A write runs to its end:
if it were cut off at its commit, its outcome would be unknown. Writes are short, and their waits
for locks are bounded.
"""

import asyncio

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_QUESTIONS = {"GET", "HEAD"}


class Departure:
    """Cancels the work for a client that has gone; raises ClientDisconnect if no answer began.

    No path takes a body with a question. A body that is sent is read and dropped, so that the
    departure after it is seen.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] not in _QUESTIONS:
            await self._app(scope, receive, send)
            return
        asker = asyncio.current_task()
        assert asker is not None  # noqa: S101  a coroutine runs in one
        has_left = is_begun = False

        async def watch() -> None:
            nonlocal has_left
            while (await receive())["type"] != "http.disconnect":
                pass
            # Only once: a second time would interrupt psycopg while it asks the server to cancel.
            has_left = True
            asker.cancel()

        async def begun(message: Message) -> None:
            nonlocal is_begun
            is_begun = True
            await send(message)

        # With this version of ASGI Starlette does not watch the client itself: its group of tasks
        # would cancel again and again.
        scope["asgi"] = scope["asgi"] | {"spec_version": "2.4"}
        watcher = asyncio.create_task(watch())
        try:
            await self._app(scope, _without_body(), begun)
        except asyncio.CancelledError:
            if not has_left or asker.cancelling() > 1:
                raise
            # A listener of the live stream has had its answer when it leaves.
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
            await asyncio.Event().wait()  # only `watch` sees the departure
        is_read = True
        return {"type": "http.request", "body": b"", "more_body": False}

    return receive
