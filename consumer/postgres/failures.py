"""What an error of PostgreSQL means, by its SQLSTATE. Pure.

See "PostgreSQL Error Codes" in PostgreSQL's manual. Classes 22 and 23 are about the data. All other
errors are about the surroundings: the same attempt is made again for as long as they last, and
nothing is ever dead-lettered because of them. They are of three kinds:

- an outage: the server is away or cannot work, and nothing can be done;
- a conflict: the server is well, and another session is in the way;
- a refusal: the server is well, and answers that it will not do this. Every other error is one:
  most of the classes, and whatever a trigger raises; an error of the data for which no row can be
  blamed; and a reading whose day is missing, which the next try makes.

`consumer/postgres/refusals.py` reports refusals for as long as they last.
"""

import re

import psycopg
from psycopg import errors

from consumer.errors import CommitUnknown

_DATA_CLASSES = ("22", "23")
_OUTAGE_CLASSES = ("08", "53", "57", "58")
# Of a class whose other errors are refusals: a server that has become a standby, and sessions that
# it has ended.
_OUTAGES = ("25006", "25P03", "25P04")
_CONFLICT_CLASSES = ("40",)
_CONFLICTS = ("55006", "55P03")
# A connection that could not be opened has no SQLSTATE in psycopg, only libpq's text. These are the
# refusals among PostgreSQL's messages, in English: in another language they pass for an outage.
_REFUSED_CONNECTIONS = (
    ("28P01", r"password authentication failed|no password supplied"),
    ("28000", r"authentication failed for user|pg_hba\.conf|valid client certificate"),
    ("28000", r'role ".*" (does not exist|is not permitted to log in)'),
    ("3D000", r'database ".*" does not exist'),
    ("42501", r"permission denied (for database|to set parameter)"),
    ("42704", r"unrecognized configuration parameter"),
    ("22023", r"invalid value for parameter"),
    ("55000", r"not currently accepting connections|cannot connect to invalid database"),
)
_CAUSES = {
    "08": "connection",
    "25": "read_only",
    "28": "authorization",
    "40": "serialization",
    "42": "schema",
    "53": "resources",
    "55": "lock",
    "57": "operator",
    "58": "system",
}


def is_missing_day(error: BaseException) -> bool:
    """Return whether history has no day for the row's time.

    PostgreSQL reports it as a check violation (23514) that names no constraint.
    """
    return isinstance(error, errors.CheckViolation) and error.diag.constraint_name is None


def is_data_error(error: BaseException) -> bool:
    """Return whether a row is at fault, and not the surroundings."""
    if not isinstance(error, psycopg.Error) or is_missing_day(error):
        return False
    return (error.sqlstate or "").startswith(_DATA_CLASSES)


def is_worth_waiting(error: BaseException) -> bool:
    """Return whether to make the same attempt again; other errors are faults of the program."""
    return isinstance(error, CommitUnknown | TimeoutError | OSError | psycopg.Error)


def is_outage(error: BaseException) -> bool:
    """Return whether the server is away, or cannot work."""
    sqlstate = sqlstate_of(error)
    if sqlstate is None:
        return is_worth_waiting(error)
    return sqlstate.startswith(_OUTAGE_CLASSES) or sqlstate in _OUTAGES


def is_conflict(error: BaseException) -> bool:
    """Return whether the server is well, and another session is in the way."""
    sqlstate = sqlstate_of(error) or ""
    return sqlstate.startswith(_CONFLICT_CLASSES) or sqlstate in _CONFLICTS


def is_refusal(error: BaseException) -> bool:
    """Return whether the server is well, and will not do what it was asked."""
    return isinstance(error, psycopg.Error) and not is_outage(error) and not is_conflict(error)


def is_refused_connection(error: BaseException) -> bool:
    """Return whether the server refused the connection itself: a password, a role, a database."""
    return getattr(error, "sqlstate", None) is None and is_refusal(error)


def sqlstate_of(error: BaseException) -> str | None:
    """Return the error's SQLSTATE, also of a refused connection; None if it has none."""
    sqlstate: str | None = getattr(error, "sqlstate", None)
    if sqlstate is None and isinstance(error, psycopg.OperationalError):
        text = str(error)
        found = (code for code, words in _REFUSED_CONNECTIONS if re.search(words, text))
        return next(found, None)
    return sqlstate


def cause_of(error: BaseException) -> str:
    """Return a word for the error: a label's value, one of few."""
    if is_missing_day(error):
        return "missing_partition"
    sqlstate = sqlstate_of(error)
    if sqlstate is None:
        return "connection"
    if sqlstate.startswith("55") and not is_conflict(error):
        return "other"
    return _CAUSES.get(sqlstate[:2], "other")
