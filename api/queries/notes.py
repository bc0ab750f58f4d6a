"""Notes that nobody has rolled up yet: where they are many, the fleet cannot be answered for."""

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

from api.problems import Problem

# What `check_notes` raises.
_MUCH_NOTED = "WL001"
_DETAIL = (
    "so many readings of the past have come that the fleet cannot be answered for in time yet; the"
    " consumer works them off"
)
_RETRY_AFTER_S = 30


@contextmanager
def refused_while_noted() -> Iterator[None]:
    """Raise Problem (503) where PostgreSQL says that too much is noted."""
    try:
        yield
    except psycopg.Error as error:
        if error.sqlstate != _MUCH_NOTED:
            raise
        raise Problem(503, _DETAIL, headers={"Retry-After": str(_RETRY_AFTER_S)}) from error
