"""The logins of a stack's PostgreSQL, one for each of Wattline's roles (docs/roles.md).

The password of each follows from the superuser's, and not the other way round. What the roles may
do, `python -m consumer schema roles` says once there are tables.
"""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING

from psycopg import sql

from deploy.local.ports import HOST

if TYPE_CHECKING:
    import psycopg

DATABASE = "wattline"
ROLES = ("owner", "consumer", "api", "reader")
_GRANTS = """
GRANT CONNECT, CREATE ON DATABASE {0} TO wattline_owner;
GRANT CONNECT ON DATABASE {0} TO wattline_consumer, wattline_api, wattline_reader;
GRANT USAGE, CREATE ON SCHEMA public TO wattline_owner;
GRANT USAGE ON SCHEMA public TO wattline_consumer, wattline_api, wattline_reader;
"""


def urls_of(secret: str, port: int) -> dict[str, str]:
    """Return the URL of each role's login, by the role; `secret` is the superuser's password."""
    return {
        role: f"postgresql://{_login(role)}:{_password(role, secret)}@{HOST}:{port}/{DATABASE}"
        for role in ROLES
    }


def make_logins(connection: psycopg.Connection, secret: str) -> None:
    """Make the groups and logins that are missing, with what only an administrator can grant.

    With it `schema apply` and `schema roles` work as the owner. The connection is to DATABASE.
    """
    found = connection.execute("SELECT rolname FROM pg_roles").fetchall()
    existing = {name for (name,) in found}
    for role in ROLES:
        group, login = f"wattline_{role}", _login(role)
        if group not in existing:
            connection.execute(sql.SQL("CREATE ROLE {}").format(sql.Identifier(group)))
        if login not in existing:
            create = sql.SQL("CREATE ROLE {} LOGIN PASSWORD {} IN ROLE {}").format(
                sql.Identifier(login),
                sql.Literal(_password(role, secret)),
                sql.Identifier(group),
            )
            connection.execute(create)
    connection.execute(sql.SQL(_GRANTS).format(sql.Identifier(DATABASE)))


def _login(role: str) -> str:
    return f"local_{role}"


def _password(role: str, secret: str) -> str:
    return hmac.new(secret.encode(), role.encode(), "sha256").hexdigest()[:32]
