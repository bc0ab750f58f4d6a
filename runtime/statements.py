"""Named SQL statements: each is a file of a package's folder `sql/`."""

from collections.abc import Callable
from functools import cache
from importlib.resources import files
from typing import LiteralString


def statements_of(package: str) -> Callable[[str], LiteralString]:
    """Return a function that returns the text of `sql/NAME.sql` of the package.

    Raises FileNotFoundError if the package has no statement of that name.
    """
    folder = files(package) / "sql"

    @cache
    def statement(name: str) -> LiteralString:
        # A file of the package is as fixed as a literal.
        return (folder / f"{name}.sql").read_text()

    return statement
