"""The mutants of the arithmetic follow the code: each still has its place."""

import pytest

from tests.energy.mutants import MUTANTS, ROOT, Mutant


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_mutants_text_stands_once_in_its_file(mutant: Mutant) -> None:
    assert (ROOT / f"energy/{mutant.file}.py").read_text().count(mutant.before) == 1
    assert mutant.before != mutant.after
