"""Context managers that tell the client why PostgreSQL refused a question."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import psycopg
from psycopg.errors import UndefinedColumn, UndefinedFunction, UndefinedTable

from api.problems import Problem

# The SQLSTATE that `check_notes` raises.
_BACKLOG = "WL001"
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
    except psycopg.Error as error:
        if error.sqlstate != _BACKLOG:
            raise
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
