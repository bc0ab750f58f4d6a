"""Where the two servers are: ours, or those that the environment names."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING

from psycopg.conninfo import conninfo_to_dict

from deploy.local.errors import LocalStackError
from runtime.postgres.settings import check_postgres_url

if TYPE_CHECKING:
    from collections.abc import Mapping

    from deploy.local.state import State

KAFKA, DATABASE = "KAFKA_BOOTSTRAP_SERVERS", "DATABASE_URL"
# Up to the last @: an unescaped one may be a part of the password.
PASSWORD = re.compile(
    r"(?<=://)([^:/@]*:).*(?=@)|([?&]\w*password=)[^&]*|(\b\w*password\s*=\s*)('[^']*'|\S+)",
    re.DOTALL,
)


@dataclass(frozen=True, kw_only=True)
class Addresses:
    """Where both servers are, as the settings of consumer and simulator take them."""

    kafka_bootstrap_servers: str
    database_url: str

    def exports(self) -> str:
        """Lines for a shell to evaluate."""
        values = {KAFKA: self.kafka_bootstrap_servers, DATABASE: self.database_url}
        return "".join(f"export {name}={shlex.quote(text)}\n" for name, text in values.items())


def psql_environment(database_url: str) -> dict[str, str]:
    """What tells psql the address: a command line could be read by every user of the machine."""
    names = {
        "host": "PGHOST",
        "port": "PGPORT",
        "user": "PGUSER",
        "password": "PGPASSWORD",
        "dbname": "PGDATABASE",
    }
    address = conninfo_to_dict(database_url)
    return {names[name]: str(value) for name, value in address.items() if name in names}


def given(environment: Mapping[str, str], state: State) -> dict[str, str]:
    """The addresses in the environment that name other servers than our own.

    Whoever has evaluated the output of `env` has our own addresses in the environment, and
    still wants `up` to start these servers. Raises LocalStackError for a URL that cannot be used.
    """
    own = {server.address for server in (state.kafka, state.postgres) if server}
    values = {name: environment.get(name, "").strip() for name in (KAFKA, DATABASE)}
    others = {name: value for name, value in values.items() if value and value not in own}
    if DATABASE in others:
        try:
            check_postgres_url(others[DATABASE])
        except ValueError as error:
            raise LocalStackError(f"{DATABASE}: {error}") from None
    return others


def without_password(address: str) -> str:
    """An address that may be shown: a URL or a connection string, its password left out."""
    return PASSWORD.sub(lambda found: f"{found[1] or found[2] or found[3]}…", address)
