"""Trusted proxies: only they may pass on an address, a scheme and a host."""

import ipaddress
from typing import Any

import pytest
from starlette.datastructures import Headers
from starlette.types import Receive, Scope, Send

from api.middleware.caller import caller_of
from api.middleware.proxies import Proxies

TRUSTED = ("10.0.0.0/8", "192.0.2.1", "2001:db8::/32")


async def passed_on(
    peer: str | None, *headers: tuple[str, str], trusted: tuple[str, ...] = TRUSTED
) -> Scope:
    """Return the scope that the application sees."""
    seen: list[Scope] = []

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(scope)

    async def nothing(*_: Any) -> Any:
        raise AssertionError

    scope = {
        "type": "http",
        "scheme": "http",
        "client": None if peer is None else (peer, 5),
        "headers": [(name.lower().encode(), value.encode()) for name, value in headers],
    }
    networks = [ipaddress.ip_network(one) for one in trusted]
    await Proxies(application, trusted=networks)(scope, nothing, nothing)
    return seen[0]


@pytest.mark.parametrize(
    ("peer", "forwarded", "caller"),
    [
        # Only a trusted proxy is believed.
        ("203.0.113.9", ["198.51.100.1"], "203.0.113.9"),
        ("127.0.0.1", ["198.51.100.1"], "127.0.0.1"),
        ("10.1.2.3", [], "10.1.2.3"),
        ("10.1.2.3", [""], "10.1.2.3"),
        ("10.1.2.3", ["198.51.100.1"], "198.51.100.1"),
        # Addresses further left may be made up.
        ("10.1.2.3", ["1.1.1.1, 198.51.100.1"], "198.51.100.1"),
        ("10.1.2.3", ["1.1.1.1", "198.51.100.1"], "198.51.100.1"),
        ("10.1.2.3", ["1.1.1.1, 198.51.100.1, 192.0.2.1, 10.9.9.9"], "198.51.100.1"),
        ("10.1.2.3", ["10.0.0.1, 10.0.0.2"], "10.0.0.1"),
        ("10.1.2.3", ["198.51.100.1:4711"], "198.51.100.1"),
        ("10.1.2.3", ["[2001:db9::1]:4711"], "2001:db9::1"),
        ("::ffff:10.1.2.3", ["198.51.100.1"], "198.51.100.1"),
        ("2001:db8::5", ["2001:db9::1"], "2001:db9::1"),
        # Not an address: then it is not known who asked the proxy.
        ("10.1.2.3", ["198.51.100.1, unknown"], "10.1.2.3"),
        ("10.1.2.3", ["198.51.100.1, unknown, 192.0.2.1"], "192.0.2.1"),
        ("10.1.2.3", ["x" * 5_000 + "\u00e4"], "10.1.2.3"),
    ],
)
async def test_the_address_is_the_first_from_the_right_that_is_not_a_trusted_proxy(
    peer: str, forwarded: list[str], caller: str
) -> None:
    scope = await passed_on(peer, *(("X-Forwarded-For", value) for value in forwarded))
    assert caller_of(scope) == f"address:{caller}"


async def test_a_trusted_proxy_gives_the_scheme_and_the_host() -> None:
    told = (
        ("Host", "127.0.0.1:8000"),
        ("X-Forwarded-Proto", "HTTPS"),
        ("X-Forwarded-Host", "made.up, wattline.example"),
    )
    scope = await passed_on("10.1.2.3", *told)
    assert scope["scheme"] == "https"
    assert Headers(scope=scope).getlist("host") == ["wattline.example"]
    for scope in (
        await passed_on("203.0.113.9", *told),
        await passed_on(None, *told),
        await passed_on("10.1.2.3", *told, trusted=()),
    ):
        assert scope["scheme"] == "http"
        assert Headers(scope=scope).getlist("host") == ["127.0.0.1:8000"]


async def test_an_unknown_scheme_is_ignored() -> None:
    scope = await passed_on("10.1.2.3", ("X-Forwarded-Proto", "javascript"))
    assert scope["scheme"] == "http"
