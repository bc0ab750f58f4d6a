"""The settings of a session with PostgreSQL: what an answer depends on is set, not inherited.

ALTER DATABASE, ALTER ROLE and postgresql.conf may give a session any other defaults, and a driver
that reads times written as 25/12/2026, or doubles cut to 15 digits, answers wrongly or not at all.
So every connection of every program begins with `pinned`. It is one statement and not the
`options` of the start of a session, which a pooler refuses or drops.

What only decides how fast an answer comes, where files lie, what the server logs and whether it
takes writes (`default_transaction_read_only`: an outage to be waited for) is the operator's and is
left as it is; docs/postgresql.md lists all.
"""

import json
from typing import LiteralString

import psycopg

# Of the start of a session, since it decides how the first statement is read.
ENCODING = "UTF8"

_PINNED = {
    # What values look like, to the driver and in COPY.
    "client_encoding": ENCODING,
    "datestyle": "ISO, MDY",
    "intervalstyle": "postgres",
    "timezone": "UTC",
    "timezone_abbreviations": "Default",
    "extra_float_digits": "1",  # the shortest text that is the very same double
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
    # How transactions see each other, and when a session ends: each program adds what it bounds.
    "default_transaction_isolation": "read committed",
    "default_transaction_deferrable": "off",
    "statement_timeout": "0",
    "lock_timeout": "0",
    "transaction_timeout": "0",
    "idle_in_transaction_session_timeout": "0",
    "idle_session_timeout": "0",
    "exit_on_error": "off",
    # What others' sessions can be told of, and what we are told.
    "track_activities": "on",
    "client_min_messages": "warning",
}
# What DATABASE_URL or PGOPTIONS say of these, on purpose, counts.
_UNLESS_SAID = {
    "search_path": '"$user", public',
    "default_table_access_method": "heap",
    "synchronous_commit": "on",
}

# A setting that this server does not have, or this role may not set, is left out. A commit that
# waits for more than `on` does is not made to wait for less.
_PIN = """
SELECT pg_catalog.set_config(known.name, wanted.value, false)
FROM ROWS FROM (pg_catalog.unnest(%s::text[]), pg_catalog.unnest(%s::text[]),
                pg_catalog.unnest(%s::boolean[])) AS wanted (name, value, is_choice)
JOIN pg_catalog.pg_settings AS known ON pg_catalog.lower(known.name) = wanted.name
WHERE (known.context = 'user' OR pg_catalog.has_parameter_privilege(known.name, 'SET'))
  AND NOT (wanted.is_choice AND known.source = 'client')
  AND NOT (known.name = 'synchronous_commit' AND known.setting = 'remote_apply')
"""


def pinned(**more: str) -> tuple[LiteralString, list[list[str] | list[bool]]]:
    """Return the statement that pins a new session's settings, with these too; and its parameters.

    It is for a connection with `client_encoding=ENCODING`, in autocommit.
    """
    settings = _PINNED | _UNLESS_SAID | more
    is_choice = [name in _UNLESS_SAID and name not in more for name in settings]
    return _PIN, [list(settings), list(settings.values()), is_choice]


def write_json(value: object) -> str:
    r"""Return the JSON with letters as they are: SQL_ASCII has none to make of a \u00e4."""
    return json.dumps(value, ensure_ascii=False)


def connect(database_url: str, *, application_name: str) -> psycopg.Connection:
    """Open a connection of a tool, in autocommit and without a limit of time; raises psycopg.Error.

    A program that opens one in another way executes `pinned` as well.
    """
    connection = psycopg.connect(
        database_url,
        autocommit=True,
        connect_timeout=10,
        client_encoding=ENCODING,
        application_name=application_name,
    )
    try:
        connection.execute(*pinned())
    except BaseException:  # an interrupt, too, would leave it open
        connection.close()
        raise
    return connection
