"""A client: its name and what it may do. Pure; time is an argument."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class Scope(StrEnum):
    """What a client may do; each request needs exactly one of these."""

    INGEST = "ingest"
    READ = "read"
    ADMIN = "admin"


EVERY_SCOPE = frozenset(Scope)


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """Whom a key or a certificate belongs to.

    Without prefixes it may send and ask about every device, else only about those whose ids begin
    with one of them.
    """

    name: str
    scopes: frozenset[Scope] = EVERY_SCOPE
    prefixes: tuple[str, ...] = ()
    expires: datetime | None = None

    def may_name(self, device_ids: Collection[str]) -> bool:
        """Return whether it may ask about these devices; none at all is a question about all."""
        if not self.prefixes:
            return True
        return bool(device_ids) and all(one.startswith(self.prefixes) for one in device_ids)

    def has_expired(self, now: datetime) -> bool:
        """Return whether its access has ended."""
        return self.expires is not None and self.expires <= now


_READING = {"GET", "HEAD", "OPTIONS"}
_READINGS = "/v1/telemetry/"


def scope_needed(method: str, path: str) -> Scope:
    """Return the scope that a request needs: what is not known to be less is `admin`."""
    if method in _READING:
        return Scope.READ
    return Scope.INGEST if method == "POST" and path.startswith(_READINGS) else Scope.ADMIN
