"""The named SQL statements of this package."""

from functools import cache
from pathlib import Path

_FOLDER = Path(__file__).with_name("sql")


@cache
def statement(name: str) -> str:
    """Return the text of `sql/<name>.sql`, which is code as much as this file is."""
    return (_FOLDER / f"{name}.sql").read_text()
