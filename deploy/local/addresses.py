"""The addresses of the two servers: our own, or those in the environment."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from psycopg.conninfo import conninfo_to_dict

from deploy.local.errors import LocalStackError
from deploy.local.postgres.logins import urls_of
from runtime.postgres.settings import check_postgres_url

if TYPE_CHECKING:
    from collections.abc import Mapping

    from deploy.local.state import State

KAFKA, DATABASE = "KAFKA_BOOTSTRAP_SERVERS", "DATABASE_URL"
# Up to the last @, because the password may contain one that is not escaped.
PASSWORD = re.compile(
    r"(?<=://)([^:/@]*:).*(?=@)|([?&]\w*password=)[^&]*|(\b\w*password\s*=\s*)('[^']*'|\S+)",
    re.DOTALL,
)


@dataclass(frozen=True, kw_only=True)
class Addresses:
    """The addresses of both servers, as the settings of the services take them.

    `logins` has PostgreSQL's address for each of Wattline's roles, if the server is our own.
    """

    kafka_bootstrap_servers: str
    database_url: str
    logins: Mapping[str, str] = field(default_factory=dict)

    def under(self, role: str) -> Addresses:
        """Return the addresses of a program that runs under a role; raises LocalStackError."""
        if role not in self.logins:
            raise LocalStackError(f"{DATABASE} is set: the logins of that server are yours")
        return replace(self, database_url=self.logins[role])

    def exports(self) -> str:
        """Return lines for a shell to evaluate."""
        values = {KAFKA: self.kafka_bootstrap_servers, DATABASE: self.database_url}
        return "".join(f"export {name}={shlex.quote(text)}\n" for name, text in values.items())


def logins_of(state: State) -> dict[str, str]:
    """Return PostgreSQL's address under each of Wattline's roles, if a server of ours was made."""
    return urls_of(state.postgres.password, state.postgres.port) if state.postgres else {}


def psql_environment(database_url: str) -> dict[str, str]:
    """Return the environment that gives psql the address; all users can read a command line."""
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
    """Return the addresses in the environment that name other servers than our own.

    After `eval "$(… env)"` our own addresses are in the environment, and `up` must still start
    these servers. Raises LocalStackError for a URL that cannot be used.
    """
    own = {server.address for server in (state.kafka, state.postgres) if server}
    own.update(logins_of(state).values())
    values = {name: environment.get(name, "").strip() for name in (KAFKA, DATABASE)}
    others = {name: value for name, value in values.items() if value and value not in own}
    if DATABASE in others:
        try:
            check_postgres_url(others[DATABASE])
        except ValueError as error:
            raise LocalStackError(f"{DATABASE}: {error}") from None
    return others


def without_password(address: str) -> str:
    """Return the URL or connection string without its password, so that it may be shown."""
    return PASSWORD.sub(lambda found: f"{found[1] or found[2] or found[3]}…", address)
