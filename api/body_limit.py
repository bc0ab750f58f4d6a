"""How much a request may send: counted as it comes, whatever length it claims."""

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.problems import Problem


class BodyLimit:
    """Answers 413 before the body is read where its length is told, else once it is too long."""

    def __init__(self, app: ASGIApp, *, most_bytes: int) -> None:
        self._app = app
        self._most = most_bytes
        self._detail = f"at most {most_bytes} bytes in a request"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        length = Headers(scope=scope).get("content-length", "")
        if length.isdecimal() and int(length) > self._most:
            await Problem(413, self._detail).response()(scope, receive, send)
            return
        read = 0

        async def counted() -> Message:
            nonlocal read
            message = await receive()
            read += len(message.get("body", b""))
            if read > self._most:
                raise Problem(413, self._detail)
            return message

        await self._app(scope, counted, send)


def has_body(headers: Headers) -> bool:
    """Return whether a request of these headers sends a body."""
    return headers.get("content-length", "0") != "0" or "transfer-encoding" in headers
