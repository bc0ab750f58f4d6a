"""Protection from pages of other sites, which could make a browser write here.

A browser sends its user's credentials, and reaches loopback addresses, for any page that asks it.
"""

import ipaddress
import re
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from api.middleware.body_limit import has_body
from api.problems import Problem

_ONLY_READ = {"GET", "HEAD", "OPTIONS"}
# Pages may also send these without a body, and the browser does not ask the server first.
_ALWAYS_JSON = {"POST", "PATCH"}
_OWN_SITE = {"same-origin", "none"}
_PORTS = {"http": 80, "https": 443}
# Any other type may come from a form or a script of another site: browsers send it unasked.
_JSON = re.compile(r"application/(?:[^;]+\+)?json\s*(?:;.*)?", re.IGNORECASE)
_HOST = re.compile(r"(\[[^]]*\]|[^:]*)(?::\d*)?")
# Headers that proxies add; a client on this machine has no reason to send them.
_FORWARDING = re.compile(
    r".*forwarded.*|via|x-real-ip|(.*-)?client-?ip|.*-connecting-ip|x-proxyuser-ip|cdn-loop"
    r"|x-envoy-.*",
    re.IGNORECASE,
)
# nginx adds no header by default, but it has always used this version of HTTP by default.
_OF_A_PROXY = "1.0"


class SameSite:
    """Refuses writes that come from another site (403), or that are not declared JSON (415).

    With `only_loopback` the requested host must be a loopback one: otherwise a foreign name that
    resolves to a loopback address would make a foreign page one of this site (DNS rebinding). Nor
    may a proxy stand in front, since it would open the API to a network.
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
        if self._only_loopback:
            if not _is_loopback(headers.get("host", "")):
                return Problem(
                    403, "without API_KEYS the host must be localhost or a loopback address"
                )
            if _is_forwarded(scope, headers):
                return Problem(403, "a proxy has forwarded this: behind a proxy, set API_KEYS")
        method = scope["method"]
        if method in _ONLY_READ:
            return None
        if not _is_of_this_site(scope, headers):
            return Problem(403, "a page of another site may not do this")
        if (method in _ALWAYS_JSON or has_body(headers)) and not _JSON.fullmatch(
            headers.get("content-type", "")
        ):
            return Problem(415, "the Content-Type should be application/json, even without a body")
        return None


def _is_forwarded(scope: Scope, headers: Headers) -> bool:
    is_of_a_proxy = scope["http_version"] == _OF_A_PROXY
    return is_of_a_proxy or any(_FORWARDING.fullmatch(name) for name in headers)


def _is_of_this_site(scope: Scope, headers: Headers) -> bool:
    """Return whether no header of a browser names another site.

    Browsers leave Sec-Fetch-Site out if a site has no TLS and is not on loopback, and older ones
    always do. They then send Origin with a write.
    """
    if sites := headers.getlist("sec-fetch-site"):
        return _OWN_SITE.issuperset(sites)
    own = _origin(f"{scope['scheme']}://{headers.get('host', '')}")
    return all(own == _origin(origin) is not None for origin in headers.getlist("origin"))


def _origin(url: str) -> tuple[str, str, int | None] | None:
    """Return scheme, host and port; None without a host, as in `null`."""
    try:
        parts = urlsplit(url)
        port = parts.port or _PORTS.get(parts.scheme)
    except ValueError:
        return None
    return (parts.scheme, parts.hostname, port) if parts.hostname else None


def _is_loopback(host: str) -> bool:
    match = _HOST.fullmatch(host)
    name = "" if match is None else match[1].strip("[]").lower()
    if name == "localhost":
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
