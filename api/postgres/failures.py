"""What a client is told when PostgreSQL does not do what it was asked: 503, and why."""

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import structlog

from api.problems import Problem, busy, unavailable

log = structlog.get_logger()

_NAME = "PostgreSQL"
# psycopg counts these among the operational errors, as it does the loss of a connection.
_CONTENDED = (
    psycopg.errors.LockNotAvailable,
    psycopg.errors.DeadlockDetected,
)
_CONTENTION = ": another request is changing the same rows"
_RECOVERY = (
    "the replica of the database ended this question, to follow the primary (a recovery conflict);"
    " ask again"
)
_REFUSALS = {"0A", "26", "3F", "42"}
_HELP = "`python -m consumer schema check` says whether the schema is whole"


def away() -> Problem:
    """Return the problem (503) of a PostgreSQL that cannot be reached."""
    return unavailable(_NAME)


def is_refusal(error: psycopg.Error) -> bool:
    """Return whether waiting does not help: a table, function or permission is missing."""
    return (error.sqlstate or "")[:2] in _REFUSALS


def refused(error: psycopg.Error) -> Problem:
    """Return the problem of a refusal, and log it: PostgreSQL's own words are the operator's."""
    text = str(error).splitlines()[0]
    log.error("database_refuses", sqlstate=error.sqlstate, error=text, help=_HELP)
    detail = f"{_NAME} refuses ({error.sqlstate}): {_HELP}"
    return Problem(503, detail, headers={"Retry-After": "30"})


@contextmanager
def explained(*, is_question: bool) -> Iterator[None]:
    """Raise Problem (503) for what PostgreSQL does not do; errors of the data pass through."""
    try:
        yield
    except psycopg.errors.SerializationFailure as error:
        if is_question:  # which changes nothing: only a standby ends it so
            raise Problem(503, _RECOVERY, headers={"Retry-After": "2"}) from error
        raise busy(_CONTENTION) from error
    except (psycopg.errors.QueryCanceled, TimeoutError) as error:
        raise Problem(
            503, "the database took too long; ask for less", headers={"Retry-After": "5"}
        ) from error
    except _CONTENDED as error:
        raise busy(_CONTENTION) from error
    except (psycopg.OperationalError, psycopg.errors.ReadOnlySqlTransaction) as error:
        raise away() from error
    except psycopg.Error as error:
        if not is_refusal(error):
            raise
        raise refused(error) from error
