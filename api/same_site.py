"""What pages of other sites can make a browser do here: nothing.

A browser sends its user's credentials, and reaches a loopback address, for whatever page asks it.
"""

import ipaddress
import re

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from api.body_limit import has_body
from api.problems import Problem

_ONLY_READ = {"GET", "HEAD", "OPTIONS"}
_OTHER_SITES = {"cross-site", "same-site"}
# Forms and scripts of other sites may send any other type without asking first.
_JSON = re.compile(r"application/(?:[^;]+\+)?json\s*(?:;.*)?", re.IGNORECASE)
_HOST = re.compile(r"(\[[^]]*\]|[^:]*)(?::\d*)?")


class SameSite:
    """Refuses writes that come from another site (403), and bodies that are not JSON (415).

    With `only_loopback` the host that is asked for must be one, too: a foreign name that has come
    to mean a loopback address would make a foreign page one of this site.
    """

    def __init__(self, app: ASGIApp, *, only_loopback: bool) -> None:
        self._app = app
        self._only_loopback = only_loopback

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and (problem := self._refusal(scope)) is not None:
            await problem.response()(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _refusal(self, scope: Scope) -> Problem | None:
        headers = Headers(scope=scope)
        if self._only_loopback and not _is_loopback(headers.get("host", "")):
            return Problem(403, "without API_KEYS the host has to be localhost or an address of it")
        if scope["method"] in _ONLY_READ:
            return None
        if headers.get("sec-fetch-site") in _OTHER_SITES:
            return Problem(403, "a page of another site may not do this")
        if has_body(headers) and not _JSON.fullmatch(headers.get("content-type", "")):
            return Problem(415, "the Content-Type should be application/json")
        return None


def _is_loopback(host: str) -> bool:
    match = _HOST.fullmatch(host)
    name = "" if match is None else match[1].strip("[]").lower()
    if name == "localhost":
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
