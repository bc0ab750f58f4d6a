"""The slow reference gives the right answers of the page on energy."""

import pytest

from tests.energy.slow import vehicle_answer
from tests.energy.slow_world import KWH
from tests.energy.table import ROWS, Row


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_the_slow_reference_gives_the_pages_answer(row: Row) -> None:
    answer = vehicle_answer(row.world, row.vehicle, row.start, row.end)

    assert answer.ac.energy is not None
    assert answer.ac.energy / KWH == pytest.approx(row.ac, abs=row.within)
    assert answer.reasons == row.reasons
    for said, answered in (
        (row.dc, answer.dc.energy and answer.dc.energy / KWH),
        (row.ratio, answer.ratio and float(answer.ratio)),
    ):
        assert said is None or answered == pytest.approx(said, abs=row.within)
    for exactly, is_answered in (
        (row.status, answer.status),
        (row.ac_coverage, answer.ac.coverage),
        (row.dc_coverage, answer.dc.coverage),
    ):
        assert exactly is None or is_answered == exactly
    assert sum(hour.ac.energy or 0 for hour in answer.hours) == answer.ac.energy
    assert sum(hour.dc.energy or 0 for hour in answer.hours) == answer.dc.energy
