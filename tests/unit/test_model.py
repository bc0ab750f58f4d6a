"""The model of the protocol holds, and fails without any one of its parts."""

import os
import subprocess
import sys

import pytest

from deploy.replica import ROOT
from tests.needed import program


@pytest.fixture
def spin() -> None:
    """Skip if Spin or its compiler is missing; in CI, fail."""
    program("spin", package="spin")
    program("gcc", package="gcc")


def check(*arguments: str, path: str = os.environ["PATH"]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, ROOT / "model" / "check.py", *arguments],
        env={**os.environ, "PATH": path},
        check=False,
        capture_output=True,
        text=True,
    )


@pytest.mark.timeout(600)
def test_the_protocol_holds_and_needs_each_of_its_parts(spin: None) -> None:
    done = check()
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_variant_that_fails_is_shown_step_by_step(spin: None) -> None:
    done = check("NO_FENCE")
    assert done.returncode == 0, done.stderr
    assert "assertion violated" in done.stdout


def test_a_missing_program_is_named() -> None:
    done = check(path="")
    assert done.returncode == 2
    assert done.stderr == "error: spin and gcc not found; on Debian: apt-get install spin gcc\n"


def test_an_unknown_variant_is_wrong_use() -> None:
    assert check("NO_SUCH").returncode == 2
