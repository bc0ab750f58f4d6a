"""The settings of a session with PostgreSQL: those that change results are set, not inherited.

ALTER DATABASE, ALTER ROLE and postgresql.conf may change a session's defaults. A driver that gets
times written as 25/12/2026, or doubles cut to 15 digits, returns wrong values or fails. So every
connection of every program begins with `pinned`. That is one statement, because a pooler refuses
or drops `options` at the start of a session.

Settings that only decide on speed, file locations, logging, or whether the server takes writes
(`default_transaction_read_only`: an outage, which is waited for) are the operator's and stay as
they are; docs/postgresql.md lists all of them.
"""

from typing import Any, LiteralString

import psycopg
from psycopg import AsyncConnection
from psycopg.rows import tuple_row

from runtime.postgres.certificate import explained, is_refused
from runtime.postgres.pooler import require_own_session, require_own_session_now
from runtime.postgres.silence import bounded

# Set when the connection is opened, because it decides how the first statement is read.
ENCODING = "UTF8"
_TOOLS_PATIENCE_S = 10

_PINNED = {
    # What values look like, to the driver and in COPY.
    "client_encoding": ENCODING,
    "datestyle": "ISO, MDY",
    "intervalstyle": "postgres",
    "timezone": "UTC",
    "timezone_abbreviations": "Default",
    "extra_float_digits": "1",  # the shortest text that gives the same double
    "bytea_output": "hex",
    "quote_all_identifiers": "off",
    # What statements mean.
    "standard_conforming_strings": "on",
    "backslash_quote": "safe_encoding",
    "array_nulls": "on",
    "transform_null_equals": "off",
    "restrict_nonsystem_relation_kind": "",
    "session_replication_role": "origin",  # triggers run
    "gin_fuzzy_search_limit": "0",
    # How transactions see each other, and when a session ends. Each program adds its own limits.
    "default_transaction_isolation": "read committed",
    "default_transaction_deferrable": "off",
    "statement_timeout": "0",
    "lock_timeout": "0",
    "transaction_timeout": "0",
    "idle_in_transaction_session_timeout": "0",
    "idle_session_timeout": "0",
    "exit_on_error": "off",
    # What other sessions can see of this one, and which messages come back.
    "track_activities": "on",
    "client_min_messages": "warning",
}
# DATABASE_URL and PGOPTIONS may set these on purpose.
_UNLESS_CHOSEN = {
    "search_path": '"$user", public',
    "default_table_access_method": "heap",
    "synchronous_commit": "on",
}

# A setting that this server does not have, or that this role may not set, is left out.
# `remote_apply`, with which a commit waits for more than with `on`, is kept.
_PIN = """
SELECT pg_catalog.pg_backend_pid(), pg_catalog.set_config(known.name, wanted.value, false)
FROM ROWS FROM (pg_catalog.unnest(%s::text[]), pg_catalog.unnest(%s::text[]),
                pg_catalog.unnest(%s::boolean[])) AS wanted (name, value, is_choice)
JOIN pg_catalog.pg_settings AS known ON pg_catalog.lower(known.name) = wanted.name
WHERE (known.context = 'user' OR pg_catalog.has_parameter_privilege(known.name, 'SET'))
  AND NOT (wanted.is_choice AND known.source = 'client')
  AND NOT (known.name = 'synchronous_commit' AND known.setting = 'remote_apply')
"""


async def begin(connection: AsyncConnection[Any], *, seconds: float, **more: str) -> None:
    """Begin a new session: set its settings and `more`; raises psycopg.Error after `seconds`.

    The connection needs `client_encoding=ENCODING` and autocommit. Raises SharedSession if it is a
    pooler's that gives each transaction another session.
    """
    with bounded(connection, seconds):
        cursor = connection.cursor(row_factory=tuple_row)
        await cursor.execute(*_pinned(**more))
        pid, _ = await cursor.fetchone() or (0, "")
    await require_own_session(connection, pid, seconds=seconds)


def connect(database_url: str, *, application_name: str) -> psycopg.Connection:
    """Open a connection for a tool, in autocommit and without time limits.

    Raises psycopg.Error, as SharedSession like `begin`.
    """
    try:
        connection = psycopg.connect(
            database_url,
            autocommit=True,
            connect_timeout=_TOOLS_PATIENCE_S,
            client_encoding=ENCODING,
            application_name=application_name,
        )
    except psycopg.OperationalError as error:
        if not is_refused(error):
            raise
        raise explained(error, database_url) from error
    try:
        pid, _ = connection.execute(*_pinned()).fetchone() or (0, "")
        require_own_session_now(connection, pid, seconds=_TOOLS_PATIENCE_S)
    except BaseException:  # an interrupt would leave it open, too
        connection.close()
        raise
    return connection


def _pinned(**more: str) -> tuple[LiteralString, list[list[str] | list[bool]]]:
    """Return the statement that sets a session's settings and `more`, with its parameters.

    Its rows begin with the process of PostgreSQL that answers.
    """
    settings = _PINNED | _UNLESS_CHOSEN | more
    is_choice = [name in _UNLESS_CHOSEN and name not in more for name in settings]
    return _PIN, [list(settings), list(settings.values()), is_choice]
