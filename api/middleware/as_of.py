"""The time of which an answer is, in a header: answers of a replica may be old."""

from datetime import datetime

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.times import AS_OF, format_time

_KEY = "as_of"


def note_as_of(scope: Scope, as_of: datetime) -> None:
    """Note the time of what was read for a request; the earliest one counts."""
    scope[_KEY] = min(as_of, scope.get(_KEY, as_of))


class AsOf:
    """Adds the header to every answer for which something was read."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def dated(message: Message) -> None:
            if message["type"] == "http.response.start" and _KEY in scope:
                MutableHeaders(scope=message)[AS_OF] = format_time(scope[_KEY])
            await send(message)

        await self._app(scope, receive, dated)
