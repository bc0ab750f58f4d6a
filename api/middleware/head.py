"""HEAD: answered as GET, without the body (RFC 9110). Monitors and proxies use it."""

from starlette.types import ASGIApp, Message, Receive, Scope, Send


class Head:
    """Turns every HEAD into a GET, and ends the answer where its body would begin.

    That ends a stream without an end, too: its route is told that the client has gone.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self._app(scope, receive, send)
            return

        async def only_the_head(message: Message) -> None:
            if message["type"] == "http.response.start":
                await send(message)
                await send({"type": "http.response.body", "body": b""})

        # A copy: the server reads the method of its own scope to see that no body may follow.
        asked = {**scope, "method": "GET"}
        try:
            await self._app(asked, receive, only_the_head)
        finally:
            scope["route"] = asked.get("route")
