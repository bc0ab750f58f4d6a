"""Cookies: none are used here, but FastAPI would parse those of every request.

A head full of them takes it ten milliseconds, on open paths too.
"""

from starlette.types import ASGIApp, Receive, Scope, Send


class NoCookies:
    """Removes the cookies from every request."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            scope["headers"] = [header for header in scope["headers"] if header[0] != b"cookie"]
        await self._app(scope, receive, send)
