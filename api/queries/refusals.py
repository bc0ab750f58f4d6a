"""Context managers that tell the client why a question was refused."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

from psycopg.errors import UndefinedColumn, UndefinedFunction, UndefinedTable

from api.problems import Problem
from energy.stored.sums import TooManyReadings

_BACKLOG_DETAIL = (
    "so many late readings have come that the fleet cannot be computed in time yet; the consumer is"
    " catching up"
)
_BACKLOG_RETRY_AFTER_S = 30
_LACKING = (UndefinedTable, UndefinedColumn, UndefinedFunction)


@contextmanager
def backlog_explained() -> Iterator[None]:
    """Raise Problem (503) if too many late readings are not rolled up yet."""
    try:
        yield
    except TooManyReadings as error:
        headers = {"Retry-After": str(_BACKLOG_RETRY_AFTER_S)}
        raise Problem(503, _BACKLOG_DETAIL, headers=headers) from error


@asynccontextmanager
async def schema_explained() -> AsyncIterator[None]:
    """Raise Problem (503) if the schema was not applied yet, or is too old.

    For pages. Programs are told the SQLSTATE instead (`api.postgres.failures`).
    """
    try:
        yield
    except _LACKING as error:
        detail = "the database lacks what this version needs: apply the schema"
        raise Problem(503, detail) from error
