"""Refusals: what the server itself answers, in place of the application."""

import json
from collections.abc import Iterable
from enum import StrEnum
from http import HTTPStatus

from runtime.http.problem import MEDIA_TYPE, SECURITY_HEADERS, document


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
    HANDSHAKE = "tls_handshake"
    HANDSHAKE_TIMEOUT = "tls_handshake_timeout"


class Refusal(Exception):  # noqa: N818  what it is for the client
    """An answer of the server's own: a problem document, and the last one of its connection."""

    def __init__(self, bound: Bound, status: HTTPStatus, detail: str) -> None:
        super().__init__(detail)
        self.bound = bound
        self.status = status
        self.detail = detail

    def answer(self, default_headers: Iterable[tuple[bytes, bytes]]) -> bytes:
        """Return the bytes to send; `default_headers` are the server's, such as `Date`."""
        body = json.dumps(document(self.status, self.detail)).encode()
        headers = {name.decode().lower(): value.decode() for name, value in default_headers}
        headers |= {name.lower(): value for name, value in SECURITY_HEADERS.items()}
        headers |= {
            "content-type": MEDIA_TYPE,
            "content-length": str(len(body)),
            "connection": "close",
        }
        if self.status == HTTPStatus.SERVICE_UNAVAILABLE:
            headers["retry-after"] = "1"
        lines = [f"HTTP/1.1 {self.status} {self.status.phrase}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        return "\r\n".join([*lines, "", ""]).encode() + body
