"""The slow reference gives the right answers of the page on energy."""

import pytest

from tests.energy.slow import meter_answer, vehicle_answer
from tests.energy.slow_world import HOUR, KWH
from tests.energy.table import METER, ROWS, Row


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


def test_a_meter_that_is_asked_for_itself_names_whom_it_served() -> None:
    row = next(row for row in ROWS if row.name.startswith("quarter hours"))
    answer = meter_answer(row.world, METER, row.start, row.start + 2 * HOUR)

    assert answer.ac.energy == 15_833_333_334
    assert answer.served == {"V": (10_833_333_334, 9_750_000_000), "W": (5 * KWH, 4_500_000_000)}
    assert float(answer.ratio or 0) == pytest.approx(0.9)
    assert sum(hour.ac.energy or 0 for hour in answer.hours) == answer.ac.energy
