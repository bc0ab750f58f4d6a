"""The files of the schema: what it is now, and the numbered changes that led to it.

`schema.sql` and the files in `schema/` create what is missing and replace functions and views. They
change no table that exists: `schema/migrations/NNNN_name.sql` do, one after the other. The first
line of each names the oldest code that works on the schema afterwards, by the version it needs.
NNNN_name.down.sql undoes one: it leaves a schema on which the code of the version before works.
"""

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from psycopg import sql

# In this order: what is used comes before what uses it.
_NOUNS = (
    "hours",
    "devices",
    "charging",
    "rollups",
    "notes",
    "days",
    "performance",
)
_NAME = re.compile(r"(?P<version>\d{4})_\w+")
_DOWN = ".down.sql"
_FIRST_LINE = re.compile(r"-- Oldest code: (?P<oldest_code>\d+)\n")

NOTE_VERSION = "INSERT INTO schema_version (version, name, oldest_code) VALUES ({}, {}, {})"


@dataclass(frozen=True, slots=True)
class Migration:
    """A numbered change; `oldest_code` is the lowest version that code may need and still work.

    `down` is the text that undoes it; None if that would lose something.
    """

    version: int
    name: str
    oldest_code: int
    text: str
    down: str | None = None

    @classmethod
    def read(cls, file: Path) -> "Migration":
        """Read a file of `schema/migrations/`; raises ValueError if it is not one."""
        text = file.read_text()
        named, said = _NAME.fullmatch(file.stem), _FIRST_LINE.match(text)
        if named is None or said is None:
            raise ValueError(f"{file.name}: should be NNNN_name.sql, from -- Oldest code: N on")
        undoing = file.with_name(file.stem + _DOWN)
        down = undoing.read_text() if undoing.exists() else None
        return cls(int(named["version"]), file.stem, int(said["oldest_code"]), text, down)

    def note(self) -> sql.Composed:
        """Return the statement that records that the migration was applied."""
        values = (self.version, self.name, self.oldest_code)
        return sql.SQL(NOTE_VERSION).format(*map(sql.Literal, values))


def folder() -> Path:
    """Return where the files are: beside the package's modules in a wheel, else at the root."""
    package = Path(__file__).parents[1]
    return package if (package / "schema.sql").exists() else package.parent


def schema_files() -> list[Path]:
    """Return the files that say what the schema is now, in the order to run them in."""
    return [folder() / "schema.sql", *(folder() / "schema" / f"{noun}.sql" for noun in _NOUNS)]


@cache
def migrations() -> tuple[Migration, ...]:
    """Return all migrations, oldest first."""
    files = sorted((folder() / "schema" / "migrations").glob("*.sql"))
    return tuple(Migration.read(file) for file in files if not file.name.endswith(_DOWN))


@cache
def objects_text() -> str:
    """Return the text that creates what is missing, and replaces functions and views."""
    return "\n".join(file.read_text() for file in schema_files())


def schema_text() -> str:
    """Return the text that makes the whole schema, with its version, in an empty database."""
    return f"{objects_text()}\n{migrations()[-1].note().as_string()};\n"
