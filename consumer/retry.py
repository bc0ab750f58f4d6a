"""Which error of PostgreSQL waits, which is the data's fault, and how long to wait. Pure.

By SQLSTATE, see "PostgreSQL Error Codes" in PostgreSQL's manual. Classes 22 and 23 speak of the
data. Everything else speaks of the surroundings: it is tried again for as long as it lasts, and
never dead-letters anything.
"""

import psycopg
from psycopg import errors
from tenacity import AsyncRetrying, RetryCallState, wait_random_exponential

from consumer.errors import CommitUnknown

_DATA_CLASSES = ("22", "23")
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


def is_missing_partition(error: BaseException) -> bool:
    """Say whether the error means that no partition takes the row's time.

    PostgreSQL reports it as a check violation (23514) that names no constraint.
    """
    return isinstance(error, errors.CheckViolation) and error.diag.constraint_name is None


def is_data_error(error: BaseException) -> bool:
    """Say whether the error is the fault of a row, and not of the surroundings."""
    if not isinstance(error, psycopg.Error) or is_missing_partition(error):
        return False
    return (error.sqlstate or "").startswith(_DATA_CLASSES)


def is_worth_waiting(error: BaseException) -> bool:
    """Say whether the same attempt is to be made again."""
    if isinstance(error, CommitUnknown | TimeoutError | OSError):
        return True
    return isinstance(error, psycopg.Error) and not is_data_error(error)


def is_outage(error: BaseException) -> bool:
    """Say whether the server is away, or does not let us work."""
    return is_worth_waiting(error) and not is_conflict(error)


def is_conflict(error: BaseException) -> bool:
    """Say whether the error is about another session's work, and the server itself is well."""
    return cause_of(error) in ("serialization", "lock", "missing_partition")


def cause_of(error: BaseException) -> str:
    """Return a word for the error: a label of few values."""
    if is_missing_partition(error):
        return "missing_partition"
    sqlstate = getattr(error, "sqlstate", None)
    if sqlstate is None:
        return "connection"
    return _CAUSES.get(sqlstate[:2], "other")


def backoff(longest: float) -> wait_random_exponential:
    """Return the pauses between tries: doubling from 0.1 s, capped, with full jitter.

    The jitter keeps replicas that lost one server from coming back in step; see M. Brooker,
    "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.
    """
    return wait_random_exponential(multiplier=0.1, max=longest, min=0.05)


def pause(failures: int, *, longest: float) -> float:
    """Return one such pause in seconds, after this many failures in a row."""
    state = RetryCallState(AsyncRetrying(), None, (), {})
    state.attempt_number = max(1, failures)
    return backoff(longest)(state)
