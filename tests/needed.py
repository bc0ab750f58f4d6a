"""What a machine may lack: programs that only its package manager has, and git's history."""

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import NoReturn

import pytest

from deploy.replica import ROOT

# The last commit whose schema had no version.
UNVERSIONED = "f475dd445bf601fec5a98bbe6b92d7fdf5105d36"
# The last commit that is whole and needs version 3: what upgrades come from, and rollbacks lead to.
BEFORE = "da602d64c35fa45b542b7e14ee05a3b5678b352b"


# The last commit that needs version 4.
AT_FOUR = "c1fe30dde935602105efff065ea2d145ee68585f"


def lack(what: str) -> NoReturn:
    """Skip the test, and say what is missing; in CI fail it."""
    if os.environ.get("CI") == "true":
        pytest.fail(what)
    pytest.skip(what)


def program(*names: str, package: str) -> str:
    """Return the path of the first program that is installed; skip if there is none, in CI fail."""
    places = (
        f"{os.environ.get('PATH', os.defpath)}:/usr/sbin"  # where servers are; not every user's
    )
    for name in names:
        if path := shutil.which(name, path=places):
            return path
    lack(f"{names[0]} is not installed; on Debian: apt-get install {package}")


def tree_of(commit: str, folder: Path) -> Path:
    """Write the files of a commit to a new folder, and return it; skip without git, in CI fail."""
    archive = folder.with_suffix(".tar")
    folder.mkdir()
    git = shutil.which("git")
    command = ["git", "-C", str(ROOT), "archive", "--output", str(archive), commit]
    if git is None or subprocess.run(command, check=False, capture_output=True).returncode:
        lack(f"git's history does not have {commit[:7]}: fetch it whole (git fetch --unshallow)")
    shutil.unpack_archive(archive, folder, filter="data")
    return folder


def unversioned_schema(tree: Path) -> str:
    """Return the schema of UNVERSIONED, from its files."""
    return "\n".join((tree / f"{name}.sql").read_text() for name in ("schema", "energy", "rollup"))


def schema_before(tree: Path) -> str:
    """Return the schema of a commit that has versions, from its files, with its version."""
    code = (tree / "consumer" / "postgres" / "migrations.py").read_text()
    nouns = re.findall(r'"(\w+)"', code.partition("_NOUNS = (")[2].partition(")")[0])
    files = [tree / "schema.sql", *(tree / "schema" / f"{noun}.sql" for noun in nouns)]
    newest = max(file.stem for file in (tree / "schema" / "migrations").glob("*.sql"))
    note = f"INSERT INTO schema_version VALUES ({int(newest[:4])}, '{newest}', 0);"
    return "\n".join([*(file.read_text() for file in files), note])
