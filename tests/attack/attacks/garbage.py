"""Bytes that are not requests, and bytes that only look like one."""

from tests.attack.attack import ANYBODY, attack
from tests.attack.line import CLOSED, HOST, SILENT, Line
from tests.attack.site import Site

_HOST = f"Host: {HOST}\r\n".encode()
_GARBAGE = {
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(64) + b"\r\n\r\n",
    "zeros": bytes(512) + b"\r\n\r\n",
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "a version": b"GET /health/live HTTP/9.9\r\n" + _HOST + b"\r\n",
    "a method": b"G\x00T /health/live HTTP/1.1\r\n" + _HOST + b"\r\n",
    "a name": b"GET /health/live HTTP/1.1\r\n" + _HOST + b"na me: 1\r\n\r\n",
    "a value": b"GET /health/live HTTP/1.1\r\n" + _HOST + b"name: \x00\x01\r\n\r\n",
    "two lengths": b"POST /v1/sessions/start HTTP/1.1\r\n"
    + _HOST
    + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\n{}{}{}",
    "a length below zero": b"POST /v1/sessions/start HTTP/1.1\r\n"
    + _HOST
    + b"Content-Length: -1\r\n\r\n{}",
    "a length beyond all": b"POST /v1/sessions/start HTTP/1.1\r\n"
    + _HOST
    + b"Content-Length: 99999999999999999999999999\r\n\r\n{}",
    "a length and chunks": b"POST /v1/sessions/start HTTP/1.1\r\n"
    + _HOST
    + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\nzzzz\r\n0\r\n\r\n",
    "a chunk": b"POST /v1/sessions/start HTTP/1.1\r\n"
    + _HOST
    + b"Transfer-Encoding: chunked\r\n\r\nzzzzzz\r\n{}\r\n0\r\n\r\n",
    "a coding": b"POST /v1/sessions/start HTTP/1.1\r\n"
    + _HOST
    + b"Transfer-Encoding: gzip, identity\r\n\r\n{}",
    "a long address": b"GET /" + b"a" * (1 << 20) + b" HTTP/1.1\r\n" + _HOST + b"\r\n",
    "a bare line feed": b"GET /health/live HTTP/1.1\n" + _HOST + b"\n\n",
}
_WELL = {"200", "400", "401", "403", "404", "405", "408", "411", "413", "414", "415", "422", "431"}
_OURS = ("content-security-policy", "x-content-type-options", "x-frame-options")
_PATIENCE_S = 3.0


@attack(ANYBODY, short=True)
def parser_garbage(site: Site) -> None:
    """Fifteen messages that are not HTTP requests; every answer is a problem document."""
    for name, message in _GARBAGE.items():
        with Line(site.port, patience=_PATIENCE_S) as line:
            line.send(message)
            answer = site.note(line.answer())
        site.expect(answer.said in {*_WELL, "505", CLOSED, SILENT}, f"{name}: told {answer.said}")
        if answer.said == "400":
            kind = answer.headers.get("content-type", "")
            site.expect(kind == "application/problem+json", f"{name}: 400 is {kind or 'nothing'}")
            lacking = [header for header in _OURS if header not in answer.headers]
            site.expect(not lacking, f"{name}: 400 lacks {', '.join(lacking)}")
    failed = site.logged("request_failed")
    site.expect(not failed, f"{len(failed)} of them failed within")
