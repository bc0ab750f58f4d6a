"""The named statements of `sql/`, one file each."""

from functools import cache
from importlib.resources import files
from typing import LiteralString


@cache
def statement(name: str) -> LiteralString:
    """Return the text of `sql/NAME.sql`."""
    # A file of this package is as fixed as a literal.
    return (files("api.queries") / "sql" / f"{name}.sql").read_text()
