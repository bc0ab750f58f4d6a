"""Floods of what needs no key."""

from collections import Counter

from tests.attack.attack import ANYBODY, attack
from tests.attack.crowd import Until
from tests.attack.line import CLOSED, REFUSED, request
from tests.attack.site import Site

_SIZE = 16
_PATHS = ("/metrics", "/docs", "/openapi.json", "/health/ready", "/v1/devices/meters")
"""Each is asked for from an address of its own: none is refused because of another one."""
_ALLOWED = ("200", "401", "404", "429", "503", CLOSED, REFUSED)


@attack(ANYBODY)
def flood_metrics(site: Site) -> None:
    """Sixteen connections ask for the metrics."""
    _flood(site, "/metrics")


@attack(ANYBODY)
def flood_docs(site: Site) -> None:
    """Sixteen connections ask for the page that describes the API."""
    _flood(site, "/docs")


@attack(ANYBODY)
def flood_openapi(site: Site) -> None:
    """Sixteen connections ask for the OpenAPI document."""
    _flood(site, "/openapi.json")


@attack(ANYBODY)
def flood_ready(site: Site) -> None:
    """Sixteen connections ask whether the API is ready."""
    _flood(site, "/health/ready")


@attack(ANYBODY, short=True)
def flood_unauthorized(site: Site) -> None:
    """Sixteen connections ask with an unknown key, until their address is refused."""
    said = _flood(site, "/v1/devices/meters", key="wrong", until=_is_sent_away)
    site.expect("200" not in said, "a wrong key was let in")
    site.expect(_is_sent_away(said), f"no client was sent away: {dict(said)}")


def _is_sent_away(said: Counter[str]) -> bool:
    return said["429"] + said[CLOSED] > 0


def _flood(site: Site, path: str, *, key: str | None = None, until: Until = bool) -> Counter[str]:
    message = request("GET", path, key=key)
    said = site.flood(
        lambda *_: message,
        size=_SIZE,
        seconds=site.brief_or(1, 4),
        source=f"127.0.4.{1 + _PATHS.index(path)}",
        until=until,
    )
    site.expect_only(said, *_ALLOWED)
    return said
