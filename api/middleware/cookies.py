"""Cookies: there are none here, and the framework would read those of every request all the same.

A head full of them takes it ten milliseconds, of health too, which is told to everybody.
"""

from starlette.types import ASGIApp, Receive, Scope, Send


class NoCookies:
    """Leaves them out."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            scope["headers"] = [header for header in scope["headers"] if header[0] != b"cookie"]
        await self._app(scope, receive, send)
