"""Programs that only the system's package manager has."""

import os
import shutil

import pytest


def program(*names: str, package: str) -> str:
    """Return the first of the programs that is there; where none is, skip, and in CI fail."""
    for name in names:
        if path := shutil.which(name):
            return path
    missing = f"{names[0]} is not installed; on Debian: apt-get install {package}"
    if os.environ.get("CI") == "true":
        pytest.fail(missing)
    pytest.skip(missing)
