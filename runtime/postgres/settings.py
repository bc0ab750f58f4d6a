"""PostgreSQL's URL as a setting, refused at the start if no client could use it."""

import ipaddress
import os
import re
from typing import Annotated

import psycopg
import structlog
from psycopg.conninfo import conninfo_to_dict
from pydantic import AfterValidator, Field, SecretStr

from runtime.settings import LAST_PORT

log = structlog.get_logger()

_URL_CHOICES = {
    "sslmode": ("disable", "allow", "prefer", "require", "verify-ca", "verify-full"),
    "target_session_attrs": (
        "any", "read-write", "read-only", "primary", "standby", "prefer-standby",
    ),
    "load_balance_hosts": ("disable", "random"),
}  # fmt: skip

# libpq ends the user and the password at the first @, unless a / comes before it. The rest of a
# password with an @ would be taken for a host or a database, which errors and logs name.
_PLAIN_URL = re.compile(r"[a-z]+://([^@/]*@)?[^@?]*(\?.*)?", re.DOTALL)


def check_postgres_url(text: str) -> None:
    """Raise ValueError if PostgreSQL's clients could not use the URL.

    The message does not quote the URL, because the part at fault may belong to the password.
    """
    if not text.startswith(("postgresql://", "postgres://")):
        raise ValueError("should start with postgresql://")
    if not _PLAIN_URL.fullmatch(text):
        raise ValueError("has an @ too many: in a password write %40 for @, and %2F for /")
    try:
        parts = conninfo_to_dict(text)
    except psycopg.ProgrammingError:
        raise ValueError("is not a URL that PostgreSQL understands") from None
    # libpq's parser takes any text as a value. Without these checks a value that cannot be used
    # would be retried like a server that is away. An empty port is the default.
    ports = str(parts.get("port") or "").split(",")
    if not all(port.isdecimal() and 0 < int(port) <= LAST_PORT for port in ports if port):
        raise ValueError(f"its port should be a number from 1 to {LAST_PORT}")
    hosts = str(parts.get("hostaddr") or parts.get("host") or "").split(",")
    if len(ports) not in (1, len(hosts)):
        raise ValueError("it should have one port, or as many as hosts")
    for name, choices in _URL_CHOICES.items():
        if parts.get(name, choices[0]) not in choices:
            raise ValueError(f"its {name} should be one of {', '.join(choices)}")


def is_unchecked(url: str) -> bool:
    """Return whether the URL leads to another machine, and nobody has chosen an sslmode for it.

    libpq's default, `prefer`, takes any server's word, and plain text too.
    """
    parts = conninfo_to_dict(url)
    if parts.get("sslmode") or parts.get("service") or os.environ.get("PGSSLMODE"):
        return False
    hosts = str(parts.get("hostaddr") or parts.get("host") or "").split(",")
    return not all(map(_is_local, hosts))


def warn_if_unchecked(**urls: SecretStr | None) -> None:
    """Log one line if one of the settings, by name, is such a URL."""
    unchecked = [
        name.upper() for name, url in urls.items() if url and is_unchecked(url.get_secret_value())
    ]
    if unchecked:
        log.warning(
            "database_unverified",
            settings=unchecked,
            help="no sslmode is set: the server is not checked; docs/encryption.md says how to",
        )


def _is_local(host: str) -> bool:
    """Return whether the host is this machine: a socket, which is the default, or loopback."""
    if not host or host.startswith(("/", "@")) or host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _checked(url: SecretStr) -> SecretStr:
    check_postgres_url(url.get_secret_value())
    return url


PostgresUrl = Annotated[
    SecretStr,
    AfterValidator(_checked),
    Field(description="postgresql://user:password@host:port/database"),
]
ConnectTimeout = Annotated[int, Field(ge=1, le=3_600, description="seconds to connect")]
