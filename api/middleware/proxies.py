"""Trusted proxies: the client's own address, scheme and host, as they pass them on.

Anybody may send X-Forwarded-… headers; only those of a trusted proxy are used. The rest of the
program finds the address, the scheme and the host in their usual places.
"""

import ipaddress
from collections.abc import Iterator, Sequence

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from api.settings import Network

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_SCHEMES = {"http", "https"}


class Proxies:
    """Uses X-Forwarded-For, -Proto and -Host, but only those of trusted proxies."""

    def __init__(self, app: ASGIApp, *, trusted: Sequence[Network]) -> None:
        self._app = app
        self._trusted = trusted

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._trusted and scope["type"] == "http" and (client := scope.get("client")):
            peer = _address(client[0])
            if peer is not None and self._trusts(peer):
                self._believe(scope, peer)
        await self._app(scope, receive, send)

    def _believe(self, scope: Scope, peer: Address) -> None:
        headers = Headers(scope=scope)
        scope["client"] = (str(self._asker(headers, peer)), 0)
        # Each proxy appends a value, so the last one is that of the proxy next to us.
        scheme = next(_from_the_right(headers, "x-forwarded-proto"), "").lower()
        if scheme in _SCHEMES:
            scope["scheme"] = scheme
        host = next(_from_the_right(headers, "x-forwarded-host"), "")
        if host:
            others = [header for header in scope["headers"] if header[0] != b"host"]
            scope["headers"] = [(b"host", host.encode("latin-1")), *others]

    def _asker(self, headers: Headers, peer: Address) -> Address:
        """Return the first address, from the right, that is not a trusted proxy's.

        If a value is not an address, the proxy that sent it counts as the client.
        """
        found = peer
        for text in _from_the_right(headers, "x-forwarded-for"):
            address = _address(text)
            if address is None:
                break
            found = address
            if not self._trusts(address):
                break
        return found

    def _trusts(self, address: Address) -> bool:
        return any(address in network for network in self._trusted)


def _from_the_right(headers: Headers, name: str) -> Iterator[str]:
    for value in reversed(headers.getlist(name)):
        for word in reversed(value.split(",")):
            yield word.strip()


def _address(text: str) -> Address | None:
    """Return the address in the text, without the port that some proxies add; None if not one."""
    host = text
    if text.startswith("["):
        host = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        host = text.partition(":")[0]
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address
