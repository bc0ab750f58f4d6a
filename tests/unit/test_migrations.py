"""The numbered changes of the schema, the version that code needs, and the keys of the locks."""

import re
from pathlib import Path

import pytest

from consumer.postgres.migrations import Migration, folder, migrations, objects_text
from deploy.replica import ROOT
from runtime.postgres import locks
from runtime.postgres.schema_version import NEEDED, misfit

KEYS = {name: key for name, key in vars(locks).items() if name.isupper() and name[0] != "_"}
PRODUCT = ("api", "consumer", "deploy", "energy", "producer_sim", "runtime", "schema", "telemetry")


def test_migrations_are_numbered_from_one_without_a_gap() -> None:
    assert [one.version for one in migrations()] == list(range(1, len(migrations()) + 1))


def test_the_code_needs_the_newest_version() -> None:
    assert migrations()[-1].version == NEEDED


def test_every_way_back_is_that_of_a_migration() -> None:
    files = {one.name for one in (folder() / "schema" / "migrations").glob("*.down.sql")}
    assert files == {f"{one.name}.down.sql" for one in migrations() if one.down is not None}
    assert files


def test_code_that_a_migration_makes_too_old_is_never_newer_than_the_migration() -> None:
    assert all(one.oldest_code <= one.version for one in migrations())


def test_code_that_a_migration_makes_too_old_stays_so() -> None:
    """A new database notes the newest migration alone, and must refuse the same code."""
    codes = [one.oldest_code for one in migrations()]
    assert codes == sorted(codes)


def test_every_file_of_the_schema_is_run() -> None:
    files = (folder() / "schema").glob("*.sql")
    assert all(file.read_text() in objects_text() for file in files)


@pytest.mark.parametrize(
    ("name", "text"),
    [("one.sql", "-- Oldest code: 0\n"), ("0001_one.sql", "SELECT 1;\n-- Oldest code: 0\n")],
)
def test_a_file_that_is_not_a_migration_is_refused(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match=name):
        Migration.read(tmp_path / name)


def test_a_replica_works_on_its_own_version_and_on_newer_ones_that_allow_it() -> None:
    assert misfit(NEEDED, 0) is None
    assert misfit(NEEDED + 5, NEEDED) is None


def test_a_schema_that_is_too_old_or_too_new_is_said_in_one_line() -> None:
    assert misfit(NEEDED - 1, 0) == (
        f"the schema is at version {NEEDED - 1}, this code needs {NEEDED}:"
        " run `python -m consumer schema apply`"
    )
    assert misfit(NEEDED + 2, NEEDED + 1) == (
        f"the schema is at version {NEEDED + 2} and works with code that needs {NEEDED + 1} or"
        f" newer, this code needs {NEEDED}: run a newer release"
    )


def test_no_two_kinds_of_work_share_a_lock() -> None:
    assert len(set(KEYS.values())) == len(KEYS)


def test_locks_are_named_by_their_table_alone() -> None:
    calls = [
        (file.name, argument)
        for top in PRODUCT
        for kind in ("*.py", "*.sql")
        for file in (ROOT / top).rglob(kind)
        for argument in re.findall(r"pg_\w*advisory\w*\(([^),]+)", file.read_text())
    ]
    assert [call for call in calls if call[1] != "%s"] == []
    assert calls
