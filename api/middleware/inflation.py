"""Inflation of compressed bodies: `Content-Encoding` gzip, deflate or zstd (RFC 9110)."""

import asyncio
import zlib

import cramjam
import numpy as np
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.middleware.body_limit import Held, has_body, held_body
from api.problems import Problem

TAKEN = ("gzip", "deflate", "zstd")
_ALSO_CALLED = {"x-gzip": "gzip"}
# Members of one gzip body: most senders make one, and each costs a copy of what follows it.
_MOST_MEMBERS = 64
_LONGEST_NAME = 64
# Their memory is counted only once they are done.
_MOST_AT_ONCE = 2


class Malformed(ValueError):  # noqa: N818  what the body is
    """The body is not in the coding that its header names."""


class TooLarge(ValueError):  # noqa: N818  what the body is
    """The inflated body is larger than it may be."""


class Inflation:
    """Hands on bodies inflated; answers 415 to any other coding.

    It never inflates more than a body may hold.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._turns = asyncio.Semaphore(_MOST_AT_ONCE)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not has_body(headers := Headers(scope=scope)):
            await self._app(scope, receive, send)
            return
        codings = _codings(headers)
        if len(codings) > 1 or not set(codings) <= set(TAKEN):
            await _refusal(codings).response()(scope, receive, send)
            return
        if codings:
            receive = self._inflated(receive, codings[0], held_body(scope))
        await self._app(scope, receive, send)

    def _inflated(self, receive: Receive, coding: str, held: Held) -> Receive:
        is_read = False

        async def inflated() -> Message:
            nonlocal is_read
            if is_read:
                return await receive()
            message = await receive()  # with the whole body, see `BodyLimit`
            if message["type"] != "http.request":
                return message
            is_read = True
            # On a thread: a few bytes may inflate to the largest body.
            async with self._turns:
                body = await asyncio.to_thread(_inflate, message["body"], coding, held)
                held.add(len(body))
            return {"type": "http.request", "body": body, "more_body": False}

        return inflated


def _inflate(body: bytes, coding: str, held: Held) -> bytes:
    try:
        return inflate(body, coding, most_bytes=held.most)
    except TooLarge as error:
        raise held.too_large(inflated=True) from error
    except Malformed as error:
        detail = f"body: is not {coding}, which its Content-Encoding names"
        raise Problem(422, detail, field="body") from error


def inflate(body: bytes, coding: str, *, most_bytes: int) -> bytes:
    """Return the body inflated; `coding` is one of `TAKEN`. Raises Malformed and TooLarge."""
    if not body:
        return body
    if coding == "zstd":
        return _inflate_zstd(body, most_bytes)
    return _inflate_zlib(body, _window_bits(body, coding), most_bytes)


def _inflate_zstd(body: bytes, most_bytes: int) -> bytes:
    # Memory that is not written to is not used, so a small body takes little.
    room = np.empty(most_bytes, np.uint8)
    try:
        length = cramjam.zstd.decompress_into(body, room.data)
    except cramjam.DecompressionError as error:
        # The words of Rust for a full buffer; cramjam has no type for it.
        kind = TooLarge if "write whole buffer" in str(error) else Malformed
        raise kind(str(error)) from error
    return room[:length].tobytes()


def _inflate_zlib(body: bytes, window_bits: int, most_bytes: int) -> bytes:
    members: list[bytes] = []
    left = most_bytes + 1
    while body:
        if len(members) == _MOST_MEMBERS:
            raise Malformed("too many members")
        inflater = zlib.decompressobj(window_bits)
        try:
            members.append(inflater.decompress(body, left))
        except zlib.error as error:
            raise Malformed(str(error)) from error
        left -= len(members[-1])
        if left <= 0:
            raise TooLarge
        if not inflater.eof:
            raise Malformed("it is cut off")
        body = inflater.unused_data
    return b"".join(members)


def _window_bits(body: bytes, coding: str) -> int:
    if coding == "gzip":
        return zlib.MAX_WBITS | 16
    # `deflate` means zlib's format, but some senders leave out its header.
    has_header = body[0] & 0x0F == zlib.DEFLATED and int.from_bytes(body[:2], "big") % 31 == 0
    return zlib.MAX_WBITS if has_header else -zlib.MAX_WBITS


def _codings(headers: Headers) -> list[str]:
    named = ",".join(headers.getlist("content-encoding")).lower().split(",")
    codings = [name.strip() for name in named]
    return [_ALSO_CALLED.get(one, one) for one in codings if one not in {"", "identity"}]


def _refusal(codings: list[str]) -> Problem:
    detail = "only one Content-Encoding is taken: gzip, deflate or zstd"
    if len(codings) == 1:
        name = codings[0][:_LONGEST_NAME]
        detail = f"the Content-Encoding {name} is not taken; gzip, deflate and zstd are"
    return Problem(415, detail, headers={"Accept-Encoding": ", ".join(TAKEN)})
