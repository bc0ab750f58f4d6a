"""The product's arithmetic gives the right answers of the page on energy."""

from fractions import Fraction

import pytest

from tests.energy.pure import ask
from tests.energy.slow_world import KWH
from tests.energy.table import ROWS, Row


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_the_arithmetic_gives_the_pages_answer(row: Row) -> None:
    said = ask(row.world, row.start, row.end)[row.vehicle]
    ac, dc = (sum(hour or 0 for hour in side) for side in (said.ac, said.dc))

    assert ac / KWH == pytest.approx(row.ac, abs=row.within)
    assert said.reasons == row.reasons
    assert row.dc is None or dc / KWH == pytest.approx(row.dc, abs=row.within)
    assert row.ratio is None or dc / ac == pytest.approx(row.ratio, abs=row.within)
    assert row.status in (None, said.status)
    for covered, known, asked in zip(
        (row.ac_coverage, row.dc_coverage), said.known, said.asked, strict=True
    ):
        assert covered in (None, Fraction(known, asked))
