"""The fault bench's mutants follow the code: each still has its place, and the copy runs."""

import subprocess
import sys
from pathlib import Path

import pytest

from deploy.replica import ROOT
from tests.faults.mutants import MUTANTS, Mutant, copy_code
from tests.faults.scenario import SCENARIOS


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_mutants_text_stands_once_in_its_file(mutant: Mutant) -> None:
    assert (ROOT / mutant.file).read_text().count(mutant.before) == 1
    assert set(mutant.caught_by) <= SCENARIOS.keys()


def test_the_copy_that_replicas_run_holds_all_that_they_import(tmp_path: Path) -> None:
    """Else every mutant would be caught, by a replica that does not start."""
    ended = subprocess.run(
        [sys.executable, "-m", "tests.faults.armed", "--help"],
        cwd=copy_code(tmp_path),
        env={"WITNESS": str(tmp_path / "witness.txt")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
