"""What the server itself answers, in place of the application, and what browsers are told."""

import json
from collections.abc import Iterable
from enum import StrEnum
from http import HTTPStatus

SECURITY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Content-Security-Policy": (
        "default-src 'self'; img-src 'self' data:; frame-ancestors 'none'; base-uri 'none';"
        " form-action 'self'"
    ),
}
"""With every answer, whoever gives it."""


class Bound(StrEnum):
    """What turns a request or a connection away; the label of the metric."""

    CONNECTIONS = "connections"
    ADDRESS = "connections_per_address"
    HEAD_BYTES = "head_bytes"
    HEADERS = "headers"
    HEAD_TIMEOUT = "head_timeout"
    BODY_TIMEOUT = "body_timeout"
    WRITE_TIMEOUT = "write_timeout"
    PIPELINED = "pipelined"
    MALFORMED = "malformed_http"


class Refusal(Exception):  # noqa: N818  what it is for the client
    """An answer of the server's own: a problem document (RFC 9457), and the connection's last."""

    def __init__(self, bound: Bound, status: HTTPStatus, detail: str) -> None:
        super().__init__(detail)
        self.bound = bound
        self.status = status
        self.detail = detail

    def answer(self, default_headers: Iterable[tuple[bytes, bytes]]) -> bytes:
        """Return it as it is sent; `default_headers` are the server's, `Date` among them."""
        document = {"title": self.status.phrase, "status": self.status, "detail": self.detail}
        body = json.dumps(document).encode()
        headers = {name.decode().lower(): value.decode() for name, value in default_headers}
        headers |= {name.lower(): value for name, value in SECURITY_HEADERS.items()}
        headers |= {
            "content-type": "application/problem+json",
            "content-length": str(len(body)),
            "connection": "close",
        }
        if self.status == HTTPStatus.SERVICE_UNAVAILABLE:
            headers["retry-after"] = "1"
        lines = [f"HTTP/1.1 {self.status} {self.status.phrase}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        return "\r\n".join([*lines, "", ""]).encode() + body
